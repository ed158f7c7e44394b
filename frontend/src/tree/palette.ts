// The colours of the page for a canvas, which does not know CSS variables.
import type { Status } from "../run/model";

/** The value of a CSS variable, such as `--line`. */
export type Palette = (variable: string) => string;

let last: { readonly theme: string | undefined; readonly palette: Palette } | null = null;

/** Each variable is read once for each theme: to read one can force the browser to compute styles. */
export function paletteOf(element: HTMLElement): Palette {
  const { theme } = document.documentElement.dataset;
  if (last?.theme === theme && last) return last.palette;
  const style = getComputedStyle(element);
  const known = new Map<string, string>();
  const palette = (variable: string) => {
    let value = known.get(variable);
    if (value === undefined) {
      value = style.getPropertyValue(variable).trim();
      known.set(variable, value);
    }
    return value;
  };
  last = { theme, palette };
  return palette;
}

/** The variable of a colour that is written `var(--name)`. */
export const variableOf = (colour: string): string => colour.slice("var(".length, -1);

/** The variable of a status: text that came without its rounds looks as plain text does. */
export const toneOf = (status: Status): string => `--status-${status === "received" ? "plain" : status}`;
