// The text of HTML as SVG: one element for each line of a text node, where the browser put it.
import { colourOf } from "./colour";
import { element, escaped } from "./element";

export interface Measure {
  /** The distance from the top of a line of text to its baseline. */
  ascent(font: string): number;
  /** The width of a text. */
  width(font: string, text: string): number;
}

/** Measures with the page's own fonts. */
export function pageMeasure(): Measure {
  const context = document.createElement("canvas").getContext("2d");
  return {
    ascent: (font) => {
      if (!context) return 0;
      context.font = font;
      return context.measureText("x").fontBoundingBoxAscent;
    },
    width: (font, text) => {
      if (!context) return 0;
      context.font = font;
      return context.measureText(text).width;
    },
  };
}

export const fontOf = (style: CSSStyleDeclaration): string =>
  `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;

export interface Line {
  readonly x: number;
  readonly top: number;
  readonly text: string;
}

const WORD = /\S+\s*|\s+/g;

/** The lines that a text node is broken into. */
export function linesOf(node: Text): Line[] {
  const range = document.createRange();
  const lines: { x: number; top: number; text: string }[] = [];
  for (const { 0: word, index } of node.data.matchAll(WORD)) {
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const box = [...range.getClientRects()].find(({ width }) => width > 0);
    if (!box) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.top - box.top) < 2) last.text += word;
    else lines.push({ x: box.left, top: box.top, text: word });
  }
  return lines;
}

/** The attributes of a text in the style of an element. */
export function textStyle(style: CSSStyleDeclaration): Record<string, string> {
  const colour = colourOf(style.color);
  return {
    "font-family": style.fontFamily,
    "font-size": style.fontSize,
    ...(style.fontWeight === "400" ? {} : { "font-weight": style.fontWeight }),
    ...(style.fontStyle === "normal" ? {} : { "font-style": style.fontStyle }),
    ...(style.letterSpacing === "normal" ? {} : { "letter-spacing": style.letterSpacing }),
    fill: colour?.hex ?? "none",
    ...(colour && colour.opacity < 1 ? { "fill-opacity": `${colour.opacity}` } : {}),
  };
}

/** left, top: of the picture in the window. */
export function textOf(
  node: Text,
  style: CSSStyleDeclaration,
  left: number,
  top: number,
  measure: Measure,
): string {
  const keeps = style.whiteSpace.startsWith("pre");
  return linesOf(node)
    .map((line) => {
      const text = keeps ? line.text.replace(/\n/g, "") : line.text.replace(/\s+/g, " ");
      const at = { x: line.x - left, y: line.top - top + measure.ascent(fontOf(style)) };
      return element(
        "text",
        { x: at.x.toFixed(2), y: at.y.toFixed(2), "xml:space": "preserve", ...textStyle(style) },
        escaped(text),
      );
    })
    .join("");
}
