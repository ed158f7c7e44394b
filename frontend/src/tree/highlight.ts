// Which tokens are highlighted.
import type { Attention } from "../run/branches";

/** Keys of the highlighted tokens; `active` is the one that the keyboard is on. */
export interface Highlight {
  readonly hovered: string | null;
  readonly selected: string | null;
  readonly active: string | null;
}

/** Whether a drafted token is attended to; null for the committed text before the round, which always is. */
export function attended(attention: Attention | null, key: string): boolean | null {
  if (!attention) return null;
  if (attention.keys.has(key)) return true;
  return Number.parseInt(key, 10) < attention.round ? null : false;
}
