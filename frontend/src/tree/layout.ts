// The layout of the tree: rounds follow each other along a spine that wraps like text; branches lie below it.
import { isTree } from "../run/branches";
import type { Round } from "../run/model";
import { layoutBars } from "./bars";
import { layoutBranches } from "./branchLayout";
import { branchWidth } from "./branchSize";
import { columnsOf } from "./columns";
import { breakRow, type Cursor, cursorAt, isEmpty, newCursor, resumable, resumeAt } from "./cursor";
import type { ColumnPosition, Layout, LayoutEdge, LayoutNode, OpenRow, Row } from "./geometry";
import { branchNodeWidth, layoutNode, spineNodeWidth } from "./nodeSize";
import { stackRows } from "./rows";
import type { Scale } from "./scale";

export function timeLabel(ms: number): string {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Mean advance of the header's digits, in ems of Inter. */
const DIGIT_ADVANCE = 0.64;

function headerOf(round: Round, scale: Scale) {
  const title = String(round.index + 1);
  const time = round.metrics ? timeLabel(round.metrics.round_ms) : null;
  const digit = scale.headerFont * DIGIT_ADVANCE;
  if (scale.detail !== "full") return { title, time: null, width: title.length * digit + 2 };
  const characters = title.length + Math.max(time?.length ?? 0, "000 ms".length) + 1;
  return { title, time, width: characters * digit };
}

/**
 * `before`: the layout of an earlier state of the run. If only its last round changed, or rounds were added, the layout
 * continues from there, and what comes before it stays the same objects.
 */
export function layout(rounds: readonly Round[], width: number, scale: Scale, before?: Layout): Layout {
  if (scale.detail === "bars") return layoutBars(rounds, width, scale, before);
  const resume = resumable(rounds, width, scale, before);
  const cursor = resume ? cursorAt(resume) : newCursor(scale);
  const settled = resume?.settled ?? 0;
  const first = resume?.rounds.length ?? 0;
  let next = resume;
  for (let at = first; at < rounds.length; at += 1) {
    if (at === rounds.length - 1) next = resumeAt(cursor, rounds.slice(0, at));
    layoutRound(rounds[at] as Round, cursor, width, scale);
  }
  const rows = cursor.rows.filter((open) => !isEmpty(open)).map((open) => closeRow(open, scale));
  return { ...stackRows(rows, width, scale, before, settled), resume: next };
}

/** Whether the rounds fit into a height. Stops laying them out as soon as they do not. */
export function fitsIn(rounds: readonly Round[], width: number, height: number, scale: Scale): boolean {
  if (scale.detail === "bars") return layoutBars(rounds, width, scale).height <= height;
  const leastHeight = scale.spineY + scale.spineBelow + scale.rowGap;
  const cursor = newCursor(scale);
  for (const round of rounds) {
    if (cursor.rows.length * leastHeight > height) return false;
    layoutRound(round, cursor, width, scale);
  }
  const rows = cursor.rows.filter((open) => !isEmpty(open)).map((open) => closeRow(open, scale));
  return stackRows(rows, width, scale).height <= height;
}

/** The width of a round without wrapping. */
function roundWidth(round: Round, scale: Scale): number {
  let x = 0;
  let end = 0;
  for (const { token, roots } of columnsOf(round)) {
    if (roots.length > 0) end = Math.max(end, x + branchWidth(roots, round, scale));
    x += token ? spineNodeWidth(token, scale) : scale.columnMin;
  }
  return Math.max(x, end);
}

function layoutRound(round: Round, cursor: Cursor, width: number, scale: Scale): void {
  const header = headerOf(round, scale);
  // A chain wraps like text. A tree begins a new row if it does not fit.
  const begun = cursor.row.segments.length > 0;
  if (begun && isTree(round) && cursor.x + roundWidth(round, scale) > width - scale.margin)
    breakRow(cursor, scale);
  const positions: ColumnPosition[] = [];
  const pieces: { row: OpenRow; x: number; end: number }[] = [];
  for (const column of columnsOf(round)) {
    const nodeWidth = column.token ? spineNodeWidth(column.token, scale) : scale.columnMin;
    const below = column.roots.map((root) => scale.indent + branchNodeWidth(root, scale));
    const minimum = Math.max(nodeWidth, ...below, pieces.length === 0 ? header.width : 0);
    const first = cursor.row.segments.length + pieces.length === 0;
    if (cursor.x + minimum > width - scale.margin && !first) breakRow(cursor, scale);
    let piece = pieces.at(-1);
    if (piece?.row !== cursor.row) {
      piece = { row: cursor.row, x: cursor.x, end: cursor.x };
      pieces.push(piece);
    }
    const x = cursor.x + nodeWidth / 2;
    positions.push({ row: cursor.row, column, x, left: cursor.x });
    const extent = column.roots.length > 0 ? branchWidth(column.roots, round, scale) : 0;
    const right = Math.min(width - scale.margin, cursor.x + extent);
    cursor.x += nodeWidth;
    piece.end = Math.max(cursor.x, right, piece.end, pieces.length === 1 ? piece.x + header.width : 0);
  }
  const lastPiece = pieces.at(-1);
  if (!lastPiece) return;
  cursor.x = lastPiece.end + scale.roundGap;
  addSegments(round, pieces, header);
  layoutColumns(round, positions, cursor, width, scale);
}

function addSegments(
  round: Round,
  pieces: readonly { row: OpenRow; x: number; end: number }[],
  header: { title: string; time: string | null },
): void {
  const total = pieces.reduce((sum, piece) => sum + piece.end - piece.x, 0);
  let covered = 0;
  pieces.forEach((piece, index) => {
    const length = piece.end - piece.x;
    piece.row.segments.push({
      key: `${round.index}/${index}`,
      round,
      x: piece.x,
      width: length,
      first: index === 0,
      from: covered / total,
      to: (covered + length) / total,
      title: index === 0 ? header.title : null,
      time: index === 0 ? header.time : null,
    });
    covered += length;
  });
}

function layoutColumns(
  round: Round,
  positions: readonly ColumnPosition[],
  cursor: Cursor,
  width: number,
  scale: Scale,
): void {
  const parents = new Map<number | null, LayoutNode>();
  if (cursor.previous) parents.set(null, cursor.previous);
  for (const { row, column, x, left } of positions) {
    if (!column.token) continue;
    const right = left + spineNodeWidth(column.token, scale);
    const node = layoutNode(
      round,
      column.token,
      { x, y: scale.spineY, left, right, lane: 0, level: 1 },
      scale,
    );
    row.edges.push(spineEdge(cursor.previous, cursor.previousRow === row, node, scale));
    if (cursor.previous && cursor.previousRow !== row) {
      cursor.previousRow?.edges.push(rowEndEdge(cursor.previous, node, width));
    }
    row.nodes.push(node);
    if (column.token.node !== null) parents.set(column.token.node, node);
    cursor.previous = node;
    cursor.previousRow = row;
  }
  layoutBranches(round, positions, parents, width, scale);
}

/** From the token before, or from the left edge at the start of a row. */
function spineEdge(from: LayoutNode | null, sameRow: boolean, to: LayoutNode, scale: Scale): LayoutEdge {
  const start = from && sameRow ? from.x + from.r : 0;
  return {
    key: `${to.token.key}<`,
    from: from?.token.key ?? null,
    to: to.token.key,
    kind: to.token.status === "pending" ? "waiting" : "spine",
    source: to.token.draft?.source ?? null,
    path: `M${start},${scale.spineY}H${to.x - to.r}`,
  };
}

/** From the last token of a row to the right edge. The next row continues it. */
function rowEndEdge(from: LayoutNode, to: LayoutNode, width: number): LayoutEdge {
  return {
    key: `${from.token.key}>`,
    from: from.token.key,
    to: to.token.key,
    kind: to.token.status === "pending" ? "waiting" : "spine",
    source: to.token.draft?.source ?? null,
    path: `M${from.x + from.r},${from.y}H${width}`,
  };
}

function closeRow(open: OpenRow, scale: Scale): Row {
  const height = scale.spineY + scale.spineBelow + open.occupied.length * scale.laneHeight;
  return { nodes: open.nodes, edges: open.edges, segments: open.segments, bars: [], height };
}
