// One token on a canvas, as TreeNode draws it in SVG.
import { symbol } from "d3-shape";
import type { Token } from "../run/model";
import { sourceOf } from "../words/sources";
import { type LayoutNode, MARK_GAP } from "./geometry";
import { fillOpacity, symbolOf } from "./glyph";
import { type Palette, toneOf, variableOf } from "./palette";
import type { Scale } from "./scale";

export const MONO = '"JetBrains Mono Variable", "JetBrains Mono", ui-monospace, monospace';
export const SANS = '"Inter Variable", ui-sans-serif, system-ui, sans-serif';
const FULL_TURN = 2 * Math.PI;
const SOURCE_SIDE = 9.5;

/** How a token differs from the others. */
export interface NodeLook {
  readonly lit: boolean;
  readonly selected: boolean;
  readonly attended: boolean;
  readonly showSource: boolean;
}

/** Draws at (0, 0). */
export function paintNode(
  context: CanvasRenderingContext2D,
  node: LayoutNode,
  scale: Scale,
  look: NodeLook,
  palette: Palette,
): void {
  const tone = palette(toneOf(node.token.status));
  paintHalo(context, node.r + 3.5, look, tone, palette("--accent"));
  paintShape(context, node.token, node.r, tone);
  paintLabel(context, node, scale, look.lit, tone, palette);
  if (look.showSource && node.token.draft) paintSource(context, node, node.token.draft.source, palette);
}

function paintHalo(
  context: CanvasRenderingContext2D,
  radius: number,
  { lit, selected, attended }: NodeLook,
  tone: string,
  accent: string,
): void {
  if (!lit && !selected && !attended) return;
  const [colour, opacity, width] = attended
    ? [accent, lit ? 1 : 0.7, lit ? 3 : 1.5]
    : selected
      ? [accent, 1, 2]
      : [tone, 0.55, 3];
  const before = context.globalAlpha;
  context.globalAlpha = before * opacity;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.arc(0, 0, radius, 0, FULL_TURN);
  context.stroke();
  context.globalAlpha = before;
}

function paintShape(context: CanvasRenderingContext2D, token: Token, r: number, tone: string): void {
  const { status } = token;
  const acceptance = token.verdict?.acceptance_prob ?? null;
  const opacity = fillOpacity(status, acceptance);
  const whole = context.globalAlpha * (status === "discarded" ? 0.7 : 1);
  const before = context.globalAlpha;
  context.fillStyle = tone;
  context.strokeStyle = tone;
  if (status === "rejected" && acceptance !== null) {
    context.globalAlpha = whole * opacity;
    context.beginPath();
    context.arc(0, 0, r, 0, FULL_TURN);
    context.fill();
  }
  const [type, area] = symbolOf(status, r);
  context.beginPath();
  symbol(type, area).context(context)();
  if (status !== "rejected") {
    context.globalAlpha = whole * opacity;
    context.fill();
  }
  context.globalAlpha = whole;
  context.lineWidth = status === "rejected" ? 2 : 1.5;
  context.lineCap = status === "rejected" ? "round" : "butt";
  if (status === "pending") context.setLineDash([2, 2]);
  context.stroke();
  if (status === "pending") context.setLineDash([]);
  context.lineCap = "butt";
  context.globalAlpha = before;
}

const TONED = new Set(["rejected", "resampled", "bonus"]);
const FAINT = new Set(["pending", "discarded"]);

function paintLabel(
  context: CanvasRenderingContext2D,
  node: LayoutNode,
  scale: Scale,
  lit: boolean,
  tone: string,
  palette: Palette,
): void {
  if (node.label === null) return;
  const { status } = node.token;
  const beside = node.lane > 0;
  context.font = `${lit ? 700 : 400} ${scale.labelFont}px ${MONO}`;
  context.textAlign = beside ? "left" : "center";
  context.fillStyle = lit
    ? palette("--text")
    : TONED.has(status)
      ? tone
      : palette(FAINT.has(status) ? "--text-faint" : "--text");
  const [x, y] = beside ? [node.r + scale.besideGap, scale.labelFont * 0.36] : [0, scale.labelDrop];
  if (beside) {
    context.strokeStyle = palette("--bg");
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeText(node.label, x, y);
    context.lineJoin = "miter";
  }
  context.fillText(node.label, x, y);
}

function paintSource(
  context: CanvasRenderingContext2D,
  node: LayoutNode,
  source: string,
  palette: Palette,
): void {
  const { letter, colour } = sourceOf(source);
  const [x, y] = node.lane === 0 ? [0, -node.r - MARK_GAP] : [node.left - node.x - MARK_GAP, 0];
  context.fillStyle = palette(variableOf(colour));
  context.beginPath();
  context.roundRect(x - SOURCE_SIDE / 2, y - SOURCE_SIDE / 2, SOURCE_SIDE, SOURCE_SIDE, 2);
  context.fill();
  context.font = `700 7.5px ${SANS}`;
  context.textAlign = "center";
  context.fillStyle = palette("--on-source");
  context.fillText(letter, x, y + 2.7);
}
