// One row of the tree on a canvas, as TreeRow draws it in SVG.
import type { Attention } from "../run/branches";
import { sourceOf } from "../words/sources";
import { isNumbered, NUMBER_HEIGHT, stackOf } from "./bars";
import { type EdgeKind, joinedEdges, type LayoutBar, type LayoutSegment, type Row } from "./geometry";
import { attended, type Highlight } from "./highlight";
import { paintNode, SANS } from "./paintNode";
import { type Palette, toneOf, variableOf } from "./palette";
import type { Scale } from "./scale";
import { type BarPart, barParts } from "./timeBar";

/** How a row differs from others with the same tokens. */
export interface RowLook extends Highlight {
  readonly showSources: boolean;
  /** The tokens that a token of this row attends to. */
  readonly attention: Attention | null;
  /** Whether the row comes after the attended round, so that it is dimmed. */
  readonly later: boolean;
  /** How far the dashes of pending edges have moved, in pixels. */
  readonly flowPx: number;
}

const DIMMED = 0.22;
const DIMMED_EDGE = 0.1;

export function paintRow(
  context: CanvasRenderingContext2D,
  row: Row,
  scale: Scale,
  look: RowLook,
  palette: Palette,
): void {
  const opacity = look.later ? DIMMED : 1;
  paintHeaders(context, row, scale, look, palette);
  context.globalAlpha = opacity;
  if (look.attention === null && !look.showSources) paintJoined(context, row, look, palette);
  else paintEdges(context, row, look, palette);
  for (const node of row.nodes) {
    const { key } = node.token;
    const isAttended = attended(look.attention, key);
    const dimmed = look.attention !== null && isAttended !== true && (node.lane > 0 || isAttended === false);
    context.globalAlpha = dimmed ? opacity * DIMMED : opacity;
    context.translate(node.x, node.y);
    const marks = {
      lit: look.hovered === key || look.active === key,
      selected: look.selected === key,
      attended: isAttended === true,
      showSource: look.showSources && node.sourceChanges && scale.detail === "full",
    };
    paintNode(context, node, scale, marks, palette);
    context.translate(-node.x, -node.y);
  }
  context.globalAlpha = 1;
  for (const bar of row.bars) paintBar(context, bar, look, palette);
}

const TIME_COLOURS: Readonly<Record<BarPart["part"], string>> = {
  draft: "--time-draft",
  verify: "--time-verify",
  network: "--time-network",
  evidence: "--time-other",
  other: "--time-other",
  open: "--line-strong",
};

function paintHeaders(
  context: CanvasRenderingContext2D,
  { segments }: Row,
  scale: Scale,
  { attention, later }: RowLook,
  palette: Palette,
): void {
  const opacityOf = ({ round }: LayoutSegment) =>
    (later ? DIMMED : 1) * (attention !== null && round.index > attention.round ? DIMMED : 1);
  const y = scale.barY - 5;
  // All of one font, then all of the other: to set a font costs as much as a short text.
  context.font = `600 ${scale.headerFont}px ${SANS}`;
  context.textAlign = "left";
  context.fillStyle = palette("--text-soft");
  for (const segment of segments) {
    context.globalAlpha = opacityOf(segment);
    if (segment.title !== null) context.fillText(segment.title, segment.x, y);
  }
  context.font = `400 ${scale.headerFont}px ${SANS}`;
  context.textAlign = "right";
  context.fillStyle = palette("--text-faint");
  for (const segment of segments) {
    context.globalAlpha = opacityOf(segment);
    if (segment.time !== null) context.fillText(segment.time, segment.x + segment.width, y);
  }
  for (const segment of segments) {
    context.globalAlpha = opacityOf(segment);
    for (const { part, left, width } of barParts(segment)) {
      context.fillStyle = palette(TIME_COLOURS[part]);
      context.fillRect(segment.x + left, scale.barY, width, scale.barHeight);
    }
  }
}

interface EdgeStyle {
  readonly colour: string;
  readonly width: number;
  readonly dashes: number[];
}

const EDGES: Readonly<Record<EdgeKind, EdgeStyle>> = {
  spine: { colour: "--line-strong", width: 1.5, dashes: [] },
  tail: { colour: "--line-strong", width: 1.25, dashes: [] },
  waiting: { colour: "--line-strong", width: 1.5, dashes: [2, 3] },
  rejected: { colour: "--status-rejected", width: 1.25, dashes: [3, 3] },
};

/** Paths are read from their text once: rows stay the same objects as long as they look the same. */
const joined = new WeakMap<Row, readonly { readonly kind: EdgeKind; readonly path: Path2D }[]>();

function paintJoined(
  context: CanvasRenderingContext2D,
  row: Row,
  { flowPx }: RowLook,
  palette: Palette,
): void {
  let paths = joined.get(row);
  if (!paths) {
    paths = joinedEdges(row.edges).map(({ kind, path }) => ({ kind, path: new Path2D(path) }));
    joined.set(row, paths);
  }
  for (const { kind, path } of paths) {
    const { colour, width, dashes } = EDGES[kind];
    strokeEdge(context, path, palette(colour), width, dashes, kind === "waiting" ? flowPx : 0);
  }
}

function paintEdges(context: CanvasRenderingContext2D, row: Row, look: RowLook, palette: Palette): void {
  const opacity = context.globalAlpha;
  for (const { kind, to, source, path } of row.edges) {
    const isAttended = attended(look.attention, to);
    const dimmed =
      look.attention !== null && isAttended !== true && (kind !== "spine" || isAttended === false);
    context.globalAlpha = dimmed ? opacity * DIMMED_EDGE : opacity;
    const { colour, width, dashes } = EDGES[kind];
    const own = look.showSources && source !== null ? variableOf(sourceOf(source).colour) : colour;
    const flowPx = kind === "waiting" ? look.flowPx : 0;
    strokeEdge(context, new Path2D(path), palette(own), isAttended === true ? 2.5 : width, dashes, flowPx);
  }
  context.globalAlpha = opacity;
}

function strokeEdge(
  context: CanvasRenderingContext2D,
  path: Path2D,
  colour: string,
  width: number,
  dashes: number[],
  flowPx: number,
): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dashes);
  context.lineDashOffset = -flowPx;
  context.stroke(path);
  context.setLineDash([]);
}

function paintBar(context: CanvasRenderingContext2D, bar: LayoutBar, look: RowLook, palette: Palette): void {
  const { round, x, y, width, height } = bar;
  const contains = (key: string | null) => key !== null && Number.parseInt(key, 10) === round.index;
  const lit = contains(look.hovered) || contains(look.active);
  const selected = contains(look.selected);
  if (lit || selected) {
    context.strokeStyle = palette(selected ? "--accent" : "--text-soft");
    context.lineWidth = selected ? 1.75 : 1.25;
    context.beginPath();
    context.roundRect(x - 2.5, y - 2.5, width + 5, height + 5, 3);
    context.stroke();
  }
  const top = isNumbered(bar) ? NUMBER_HEIGHT : 0;
  if (top > 0) {
    context.font = `600 9.5px ${SANS}`;
    context.textAlign = "left";
    context.fillStyle = palette("--text-soft");
    context.fillText(String(round.index + 1), x, y + 9);
  }
  for (const part of stackOf(bar)) {
    context.globalAlpha = part.status === "discarded" ? 0.45 : 1;
    context.fillStyle = palette(toneOf(part.status));
    context.beginPath();
    context.roundRect(x + part.left, y + top, part.width, height - top, 1);
    context.fill();
  }
  context.globalAlpha = 1;
}
