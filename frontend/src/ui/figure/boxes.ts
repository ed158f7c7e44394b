// The boxes of HTML as SVG: backgrounds, hatching, borders, outlines.
import { type Colour, colourOf } from "./colour";
import { element } from "./element";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const round = (value: number): number => Number(value.toFixed(2));

const rect = ({ x, y, width, height }: Box, attributes: Readonly<Record<string, string | number>>): string =>
  element("rect", {
    x: round(x),
    y: round(y),
    width: round(Math.max(0, width)),
    height: round(Math.max(0, height)),
    ...attributes,
  });

const filled = ({ hex, opacity }: Colour) =>
  opacity < 1 ? { fill: hex, "fill-opacity": round(opacity) } : { fill: hex };

const ANY_COLOUR = /(?:rgba?|color)\([^)]*\)/g;

/** The part of a box that `background-size` and `background-position: center` leave. */
function backgroundBox(box: Box, size: string): Box {
  const height = /^\S+ ([\d.]+)px$/.exec(size)?.[1];
  if (height === undefined) return box;
  return { ...box, y: box.y + (box.height - Number(height)) / 2, height: Number(height) };
}

/** A background of one colour, or of stripes, which the pages uses for what is computed. */
function backgroundImage(style: CSSStyleDeclaration, box: Box, id: string): string {
  const { backgroundImage: image } = style;
  const first = image
    .match(ANY_COLOUR)
    ?.map(colourOf)
    .find((colour) => colour !== null);
  if (!first || !image.includes("gradient")) return "";
  const part = backgroundBox(box, style.backgroundSize);
  if (!image.startsWith("repeating-")) return rect(part, filled(first));
  const stops = [...image.matchAll(/([\d.]+)px/g)].map((found) => Number(found[1]));
  const [period, line] = [Math.max(...stops, 2), Math.min(...stops.filter((stop) => stop > 0), 2)];
  const turn = image.includes("-45deg") ? -45 : 45;
  const stripe = element("rect", { width: line, height: period, ...filled(first) });
  const pattern = { id, width: period, height: period, patternUnits: "userSpaceOnUse" };
  return (
    element("pattern", { ...pattern, patternTransform: `rotate(${turn + 90})` }, stripe) +
    rect(part, { fill: `url(#${id})` })
  );
}

type Side = "Top" | "Right" | "Bottom" | "Left";

/** The two ends of a border, in its middle. */
function ends(
  { x, y, width, height }: Box,
  side: Side,
  thick: number,
): Record<"x1" | "x2" | "y1" | "y2", number> {
  const [left, right, top, bottom] = [x, x + width, y, y + height];
  const half = thick / 2;
  const at = {
    Top: { x1: left, x2: right, y1: top + half, y2: top + half },
    Bottom: { x1: left, x2: right, y1: bottom - half, y2: bottom - half },
    Left: { x1: left + half, x2: left + half, y1: top, y2: bottom },
    Right: { x1: right - half, x2: right - half, y1: top, y2: bottom },
  } as const;
  return at[side];
}

function border(style: CSSStyleDeclaration, box: Box, side: Side): string {
  const thick = Number.parseFloat(style[`border${side}Width`]);
  const line = style[`border${side}Style`];
  const colour = colourOf(style[`border${side}Color`]);
  if (!(thick > 0) || line === "none" || !colour) return "";
  const dash =
    line === "dashed" ? `${3 * thick} ${2 * thick}` : line === "dotted" ? `${thick} ${thick}` : null;
  return element("line", {
    ...ends(box, side, thick),
    stroke: colour.hex,
    ...(colour.opacity < 1 ? { "stroke-opacity": round(colour.opacity) } : {}),
    "stroke-width": thick,
    ...(dash === null ? {} : { "stroke-dasharray": dash }),
  });
}

const SIDES: readonly Side[] = ["Top", "Right", "Bottom", "Left"];

function borders(style: CSSStyleDeclaration, box: Box, radius: number): string {
  const widths = SIDES.map((side) => Number.parseFloat(style[`border${side}Width`]) || 0);
  const [width = 0] = widths;
  const colour = colourOf(style.borderTopColor);
  const even =
    radius > 0 && width > 0 && widths.every((one) => one === width) && style.borderTopStyle !== "none";
  if (!even || !colour) return SIDES.map((side) => border(style, box, side)).join("");
  const inner = {
    ...box,
    x: box.x + width / 2,
    y: box.y + width / 2,
    width: box.width - width,
    height: box.height - width,
  };
  return rect(inner, { fill: "none", stroke: colour.hex, "stroke-width": width, rx: radius });
}

/** An inner shadow without blur, as the page uses for outlines. */
function outline(style: CSSStyleDeclaration, box: Box): string {
  const { boxShadow } = style;
  const colour = boxShadow.includes("inset") ? (boxShadow.match(ANY_COLOUR) ?? []).map(colourOf)[0] : null;
  if (!colour) return "";
  const inner = { x: box.x + 0.5, y: box.y + 0.5, width: box.width - 1, height: box.height - 1 };
  return rect(inner, { fill: "none", stroke: colour.hex, "stroke-opacity": round(colour.opacity) });
}

/** All that is painted of an element's own box. id: unique in the picture. */
export function boxOf(style: CSSStyleDeclaration, box: Box, id: string): string {
  if (box.width <= 0 || box.height <= 0) return "";
  const colour = colourOf(style.backgroundColor);
  const radius = Math.min(Number.parseFloat(style.borderTopLeftRadius) || 0, box.width / 2, box.height / 2);
  const rounded = radius > 0 ? { rx: round(radius) } : {};
  return (
    (colour ? rect(box, { ...filled(colour), ...rounded }) : "") +
    backgroundImage(style, box, id) +
    borders(style, box, radius) +
    outline(style, box)
  );
}
