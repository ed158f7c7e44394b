// Warnings of a run: each message once, from its first round on.
import type { RunWarning } from "../protocol/generated";

export type Warnings = readonly RunWarning[];

/** Adds a warning. Returns the same array if it contains this message and hint already. */
export function withWarning(warnings: Warnings, event: RunWarning): Warnings {
  const known = warnings.some(({ message, hint }) => message === event.message && hint === event.hint);
  return known ? warnings : [...warnings, event];
}

/** The warnings that were not dismissed. */
export const remaining = (warnings: Warnings, dismissed: Warnings): Warnings =>
  warnings.filter((warning) => !dismissed.includes(warning));
