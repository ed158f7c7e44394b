// A part of the page as one SVG file: its boxes, its text and its drawings, with a title and a line of provenance.
import { type Box, boxOf } from "./boxes";
import { colourOf } from "./colour";
import { drawingOf } from "./drawing";
import { element, escaped } from "./element";
import { embeddedFonts } from "./fonts";
import { fontOf, type Measure, pageMeasure, textOf, textStyle } from "./words";

const PADDING = 16;
const TITLE_PX = 14;
const NOTE_PX = 11;
const LINE = 1.45;

export interface Caption {
  /** Left out where the figure has a heading of its own. */
  readonly title: string;
  /** What was measured, where and when. */
  readonly provenance: string;
}

export interface Picture {
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

/** Elements for a screen reader or a pointer only. */
function isUnseen(node: Element, style: CSSStyleDeclaration): boolean {
  const { width, height } = node.getBoundingClientRect();
  const tiny = width <= 1 && height <= 1 && style.overflow === "hidden";
  return (
    style.display === "none" || style.visibility === "hidden" || tiny || node.hasAttribute("data-figure-skip")
  );
}

/** Whether an element cuts off what is larger than itself. */
const cuts = (node: Element, style: CSSStyleDeclaration): boolean =>
  (style.overflowX !== "visible" && node.scrollWidth > node.clientWidth) ||
  (style.overflowY !== "visible" && node.scrollHeight > node.clientHeight);

/** Whether something of a box is inside another. An element without a box can have children with one. */
const meets = (a: DOMRect, b: DOMRect): boolean =>
  (a.width === 0 && a.height === 0) ||
  (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom);

class Painter {
  private ids = 0;
  readonly families = new Set<string>();
  text = "";

  constructor(
    private readonly left: number,
    private readonly top: number,
    private readonly measure: Measure,
  ) {}

  private id(): string {
    this.ids += 1;
    return `figure-${this.ids}`;
  }

  private boxAt(node: Element): Box {
    const { left, top, width, height } = node.getBoundingClientRect();
    return { x: left - this.left, y: top - this.top, width, height };
  }

  private uses(style: CSSStyleDeclaration, text: string): void {
    this.text += text;
    for (const family of style.fontFamily.split(",")) this.families.add(family.trim().replace(/["']/g, ""));
  }

  /** within: the box of the nearest element that cuts off what lies outside of it; null without one. */
  paint(node: Node, style: CSSStyleDeclaration, within: DOMRect | null = null): string {
    if (node instanceof Text) {
      if (node.data.trim() === "") return "";
      this.uses(style, node.data);
      return textOf(node, style, this.left, this.top, this.measure);
    }
    if (!(node instanceof Element)) return "";
    const own = getComputedStyle(node);
    if (isUnseen(node, own) || (within && !meets(node.getBoundingClientRect(), within))) return "";
    if (node instanceof SVGSVGElement) return this.drawing(node);
    const inner = cuts(node, own) ? node.getBoundingClientRect() : within;
    const inside = [...node.childNodes].map((child) => this.paint(child, own, inner)).join("");
    const painted = boxOf(own, this.boxAt(node), this.id()) + this.clipped(node, own, inside);
    const opacity = Number(own.opacity);
    return opacity < 1 && painted !== "" ? element("g", { opacity }, painted) : painted;
  }

  private drawing(svg: SVGSVGElement): string {
    for (const node of svg.querySelectorAll("text"))
      this.uses(getComputedStyle(node), node.textContent ?? "");
    const { x, y } = this.boxAt(svg);
    return drawingOf(svg, x, y);
  }

  private clipped(node: Element, style: CSSStyleDeclaration, inside: string): string {
    if (!cuts(node, style) || inside === "") return inside;
    const id = this.id();
    const { x, y, width, height } = this.boxAt(node);
    const path = element("clipPath", { id }, element("rect", { x, y, width, height }));
    return path + element("g", { "clip-path": `url(#${id})` }, inside);
  }
}

/** The colour behind an element. */
function ground(node: Element | null): string {
  for (let at = node; at; at = at.parentElement) {
    const colour = colourOf(getComputedStyle(at).backgroundColor);
    if (colour?.opacity === 1) return colour.hex;
  }
  return "#ffffff";
}

/** Words in lines of at most `width`. */
export function wrapped(text: string, width: number, widthOf: (text: string) => number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** The lines of a caption, one below the other. y: the top of the first. */
function captionLines(lines: readonly string[], size: number, y: number, attributes: Record<string, string>) {
  return lines
    .map((line, at) =>
      element(
        "text",
        {
          ...attributes,
          "font-size": `${size}px`,
          x: PADDING,
          y: (y + size * (0.95 + at * LINE)).toFixed(2),
        },
        escaped(line),
      ),
    )
    .join("");
}

/** Waits for the fonts. */
export async function pictureOf(node: HTMLElement, { title, provenance }: Caption): Promise<Picture> {
  const measure = pageMeasure();
  const box = node.getBoundingClientRect();
  const style = getComputedStyle(node);
  const hasTitle = node.querySelector("h2, h3, figcaption") !== null || title === "";
  const width = Math.ceil(box.width) + 2 * PADDING;
  const titleHeight = hasTitle ? 0 : TITLE_PX * LINE + 8;
  const noteFont = fontOf(style).replace(style.fontSize, `${NOTE_PX}px`);
  const notes = wrapped(provenance, box.width, (text) => measure.width(noteFont, text));
  const noteTop = PADDING + titleHeight + Math.ceil(box.height) + 8;
  const height = Math.ceil(noteTop + notes.length * NOTE_PX * LINE + PADDING / 2);
  const painter = new Painter(box.left - PADDING, box.top - PADDING - titleHeight, measure);
  // Its own background and borders belong to the page around it.
  const painted = [...node.childNodes].map((child) => painter.paint(child, style)).join("");
  const { fill = "#000000", ...text } = textStyle(style);
  const words = { ...text, fill };
  const faint = { ...words, "fill-opacity": "0.75" };
  const fonts = await embeddedFonts(
    new Set([
      ...painter.families,
      ...style.fontFamily.split(",").map((name) => name.trim().replace(/["']/g, "")),
    ]),
    painter.text + title + provenance,
  );
  const content =
    (fonts === "" ? "" : element("style", {}, escaped(fonts))) +
    element("title", {}, escaped(title)) +
    element("desc", {}, escaped(provenance)) +
    element("rect", { width, height, fill: ground(node) }) +
    (hasTitle ? "" : captionLines([title], TITLE_PX, PADDING, { ...words, "font-weight": "600" })) +
    painted +
    captionLines(notes, NOTE_PX, noteTop, faint);
  const svg = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      // As on the page: the letters of a token stay apart.
      style: "font-variant-ligatures:none",
    },
    content,
  );
  return { svg, width, height };
}
