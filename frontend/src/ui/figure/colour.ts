// Colours as every program reads them: six hexadecimal digits, with the opacity apart.

export interface Colour {
  readonly hex: string;
  /** 0 to 1. */
  readonly opacity: number;
}

const hexOf = (parts: readonly number[]): string =>
  `#${parts
    .map((part) =>
      Math.round(Math.min(255, Math.max(0, part)))
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;

/** The computed value of a colour; null for one that is not painted, or of another kind. */
export function colourOf(computed: string): Colour | null {
  const found = /^(rgba?|color)\(\s*(?:srgb\s+)?([^)]*)\)$/.exec(computed.trim());
  if (!found) return null;
  const numbers = (found[2] ?? "").split(/[\s,/]+/).map(Number);
  const [red, green, blue, opacity = 1] = numbers;
  if (red === undefined || green === undefined || blue === undefined || numbers.some(Number.isNaN))
    return null;
  if (opacity === 0) return null;
  const scale = found[1] === "color" ? 255 : 1;
  return { hex: hexOf([red * scale, green * scale, blue * scale]), opacity };
}

/** A colour as attributes of an SVG element; `none` where nothing is painted. */
export function paintOf(which: "fill" | "stroke", computed: string): Readonly<Record<string, string>> {
  const colour = colourOf(computed);
  if (!colour) return { [which]: computed.startsWith("url(") ? computed.replaceAll('"', "") : "none" };
  return colour.opacity < 1
    ? { [which]: colour.hex, [`${which}-opacity`]: `${Number(colour.opacity.toFixed(3))}` }
    : { [which]: colour.hex };
}
