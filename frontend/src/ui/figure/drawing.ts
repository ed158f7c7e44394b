// A drawing of the page with its styles as attributes, so that it looks the same without the page's style sheets.
import { paintOf } from "./colour";

const COPIED = [
  ...["opacity", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "vector-effect"],
  ...[
    "font-family",
    "font-size",
    "font-weight",
    "text-anchor",
    "paint-order",
    "dominant-baseline",
    "visibility",
    "display",
  ],
] as const;
/** What an element has without any style. */
const USUAL: Readonly<Record<string, string>> = {
  opacity: "1",
  "stroke-width": "1px",
  "stroke-dasharray": "none",
  "stroke-linecap": "butt",
  "stroke-linejoin": "miter",
  "vector-effect": "none",
  "text-anchor": "start",
  "paint-order": "normal",
  "dominant-baseline": "auto",
  visibility: "visible",
  display: "inline",
};
const DROPPED = /^(class|style|role|tabindex|aria-.*|data-.*|on.*)$/;

function inlineStyle(from: Element, to: Element): void {
  const style = getComputedStyle(from);
  for (const { name } of [...to.attributes]) if (DROPPED.test(name)) to.removeAttribute(name);
  for (const which of ["fill", "stroke"] as const) {
    for (const [name, value] of Object.entries(paintOf(which, style[which]))) to.setAttribute(name, value);
  }
  for (const name of COPIED) {
    const value = style.getPropertyValue(name);
    const isFont = name.startsWith("font-") && !(from instanceof SVGTextContentElement);
    if (value === "" || value === USUAL[name] || isFont) continue;
    to.setAttribute(name, name === "font-family" ? value.replaceAll('"', "'") : value);
  }
  // The style sheet moves a part of a drawing; where the drawing itself is, its box says.
  const moved = style.transform.startsWith("matrix(") && !(from instanceof SVGSVGElement);
  if (moved) to.setAttribute("transform", style.transform);
}

/** x, y: of the drawing in the picture. */
export function drawingOf(svg: SVGSVGElement, x: number, y: number): string {
  const { width, height } = svg.getBoundingClientRect();
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll("*")];
  for (const [at, own] of [copy, ...copy.querySelectorAll("*")].entries()) {
    const original = originals[at];
    if (original) inlineStyle(original, own);
  }
  const box = { x, y, width, height };
  for (const [name, value] of Object.entries(box)) copy.setAttribute(name, value.toFixed(2));
  if (!copy.hasAttribute("viewBox")) copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
  if (getComputedStyle(svg).overflow === "visible") copy.setAttribute("overflow", "visible");
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(copy);
}
