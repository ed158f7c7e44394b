// The state of a layout between two rounds, and how a later layout continues from it.
import type { Round } from "../run/model";
import type { Layout, LayoutNode, OpenRow, Resume } from "./geometry";
import type { Scale } from "./scale";

/** The position of the next column. */
export interface Cursor {
  /** The rows that can still change. */
  readonly rows: OpenRow[];
  /** The number of rows before them. */
  readonly settled: number;
  row: OpenRow;
  x: number;
  previous: LayoutNode | null;
  previousRow: OpenRow | null;
}

const openRow = (): OpenRow => ({ nodes: [], edges: [], segments: [], occupied: [] });

export const isEmpty = ({ nodes, segments }: OpenRow): boolean => nodes.length === 0 && segments.length === 0;

export function newCursor(scale: Scale): Cursor {
  const row = openRow();
  return { rows: [row], settled: 0, row, x: scale.margin, previous: null, previousRow: null };
}

export function breakRow(cursor: Cursor, scale: Scale): void {
  cursor.row = openRow();
  cursor.rows.push(cursor.row);
  cursor.x = scale.margin;
}

const copyOf = ({ nodes, edges, segments, occupied }: OpenRow): OpenRow => ({
  nodes: nodes.slice(),
  edges: edges.slice(),
  segments: segments.slice(),
  occupied: occupied.map((lane) => lane.slice()),
});

/** The state as it is now. The row of the last token can still get the edge to a row after it. */
export function resumeAt(
  { rows, settled, x, previous, previousRow }: Cursor,
  rounds: readonly Round[],
): Resume {
  const place = previousRow ? rows.indexOf(previousRow) : -1;
  const first = place < 0 ? 0 : Math.min(place, rows.length - 1);
  return {
    rounds,
    settled: settled + first,
    open: rows.slice(first).map(copyOf),
    x,
    previous,
    previousRow: place < 0 ? null : settled + place,
  };
}

export function cursorAt({ settled, open, x, previous, previousRow }: Resume): Cursor {
  const rows = open.map(copyOf);
  return {
    rows,
    settled,
    row: rows.at(-1) ?? openRow(),
    x,
    previous,
    previousRow: previousRow === null ? null : (rows[previousRow - settled] ?? null),
  };
}

/** The state from which a layout of these rounds can continue; null if it must begin anew. */
export function resumable(
  rounds: readonly Round[],
  width: number,
  scale: Scale,
  before: Layout | undefined,
): Resume | null {
  const resume = before?.resume ?? null;
  if (!before || !resume || before.width !== width || before.scale.zoom !== scale.zoom) return null;
  if (resume.rounds.length > rounds.length) return null;
  return resume.rounds.every((round, at) => round === rounds[at]) ? resume : null;
}
