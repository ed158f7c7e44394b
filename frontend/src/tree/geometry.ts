// What the layout computes: positions of nodes, edges, round headers and bars, row by row. All lengths in pixels.
import type { SiblingInfo } from "../run/branches";
import type { Round, Token } from "../run/model";
import type { Column } from "./columns";
import type { Scale } from "./scale";

export interface NodePosition {
  /** Centre of the node; y is relative to the top of its row. */
  readonly x: number;
  readonly y: number;
  /** Horizontal extent of the node with its label. No other node of the lane overlaps it. */
  readonly left: number;
  readonly right: number;
  /** 0 is the spine; the lanes below it count from 1. */
  readonly lane: number;
  /** Depth below the committed text, which is level 1. */
  readonly level: number;
}

export interface LayoutNode extends NodePosition {
  readonly token: Token;
  /** Radius. */
  readonly r: number;
  /** Null where the scale leaves no space for a label. */
  readonly label: string | null;
  /** Null in a chain. */
  readonly siblingInfo: SiblingInfo | null;
  /** Whether another drafter drafted the token that it is drawn next to. */
  readonly sourceChanges: boolean;
}

export type EdgeKind = "spine" | "waiting" | "rejected" | "tail";

export interface LayoutEdge {
  readonly key: string;
  /** Keys of the two tokens; `from` is null for the first token of a run. */
  readonly from: string | null;
  readonly to: string;
  readonly kind: EdgeKind;
  /** The drafter of the token `to`. */
  readonly source: string | null;
  /** An SVG path. */
  readonly path: string;
}

const EDGE_KINDS: readonly EdgeKind[] = ["spine", "tail", "waiting", "rejected"];

/** The edges of each kind as one path. */
export const joinedEdges = (edges: readonly LayoutEdge[]): { kind: EdgeKind; path: string }[] =>
  EDGE_KINDS.map((kind) => ({
    kind,
    path: edges.flatMap((edge) => (edge.kind === kind ? [edge.path] : [])).join(""),
  })).filter(({ path }) => path !== "");

/** The part of a round that lies on one row. */
export interface LayoutSegment {
  readonly key: string;
  readonly round: Round;
  readonly x: number;
  readonly width: number;
  readonly first: boolean;
  /** The part of the round's length that the segment covers, from 0 to 1: its part of the time bar. */
  readonly from: number;
  readonly to: number;
  readonly title: string | null;
  readonly time: string | null;
}

/** A round as one bar, at a small zoom. */
export interface LayoutBar {
  readonly round: Round;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Row {
  readonly nodes: readonly LayoutNode[];
  readonly edges: readonly LayoutEdge[];
  readonly segments: readonly LayoutSegment[];
  readonly bars: readonly LayoutBar[];
  readonly height: number;
}

/** The state of a layout before its last round. */
export interface Resume {
  /** The rounds that are laid out. */
  readonly rounds: readonly Round[];
  /** The number of rows that no later round changes. */
  readonly settled: number;
  /** The rows after those. */
  readonly open: readonly OpenRow[];
  readonly x: number;
  readonly previous: LayoutNode | null;
  /** The row of `previous`, as an index of all rows; null without one. */
  readonly previousRow: number | null;
}

export interface Layout {
  readonly scale: Scale;
  readonly width: number;
  readonly height: number;
  readonly rows: readonly Row[];
  /** Top of each row. It is not a field of the row, so that a row stays the same object when rows above it grow. */
  readonly tops: readonly number[];
  /** From where a layout of the same rounds and later ones continues; null for bars. */
  readonly resume: Resume | null;
}

/** The distance of the drafter's mark: above a node of the spine, at the left of one on a branch. */
export const MARK_GAP = 6;

/** Space above the row at the top of the view. */
const AIR = 6;

/**
 * The scroll position that follows the end of the run: as many whole rows as the view holds, the newest at the bottom. A
 * row that is higher than the view is shown from its spine on.
 */
export function followTop({ tops, height }: Pick<Layout, "tops" | "height">, viewHeight: number): number {
  const end = height - viewHeight;
  if (end <= 0) return 0;
  const first = tops.find((top, index) => top - AIR >= end || index === tops.length - 1) ?? 0;
  return Math.max(0, first - AIR);
}

/** A row while the layout fills it. */
export interface OpenRow {
  readonly nodes: LayoutNode[];
  readonly edges: LayoutEdge[];
  readonly segments: LayoutSegment[];
  /** Occupied intervals [left, right] of each lane below the spine. */
  readonly occupied: [number, number][][];
}

/** A column of a round, and where it starts. */
export interface ColumnPosition {
  readonly row: OpenRow;
  readonly column: Column;
  /** Centre of the node on the spine. */
  readonly x: number;
  readonly left: number;
}
