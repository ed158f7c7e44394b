// What the layout places, and how much room a token takes.
import { changesSource, type SiblingInfo, siblingInfoOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import { cells, elide, visible } from "../words/label";
import type { Column } from "./columns";
import { radiusOf, type Scale } from "./scale";

export interface LayoutNode {
  readonly token: Token;
  readonly x: number;
  /** Relative to the row's top. */
  readonly y: number;
  readonly r: number;
  /** Horizontal room of the node with its label: nothing else of its lane enters it. */
  readonly left: number;
  readonly right: number;
  /** 0 is the spine. */
  readonly lane: number;
  /** Depth below the committed text, which is level 1. */
  readonly level: number;
  /** Null where the scale leaves no room for one. */
  readonly label: string | null;
  /** Null in a chain. */
  readonly siblingInfo: SiblingInfo | null;
  /** Whether its source is another than that of the token it hangs on. */
  readonly head: boolean;
}

export type EdgeKind = "spine" | "waiting" | "rejected" | "tail";

export interface LayoutEdge {
  readonly key: string;
  readonly from: string | null;
  readonly to: string;
  readonly kind: EdgeKind;
  /** Who drafted the token it leads to. */
  readonly source: string | null;
  readonly path: string;
}

/** The part of a round that lies on one row. */
export interface LayoutSegment {
  readonly key: string;
  readonly round: Round;
  readonly x: number;
  readonly width: number;
  readonly first: boolean;
  /** The share of the round's length this piece covers, for its part of the time bar. */
  readonly from: number;
  readonly to: number;
  readonly title: string | null;
  readonly time: string | null;
}

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

export interface Layout {
  readonly scale: Scale;
  readonly width: number;
  readonly height: number;
  readonly rows: readonly Row[];
  /** Top of each row; apart from the rows, so that a row keeps its identity when rows above it grow. */
  readonly tops: readonly number[];
  /** Row index by token key, and by `round` for condensed rounds. */
  readonly rowOf: ReadonlyMap<string, number>;
  /** Token keys along the spine. */
  readonly spine: readonly string[];
}

/** A row while it is being filled. */
export interface OpenRow {
  readonly nodes: LayoutNode[];
  readonly edges: LayoutEdge[];
  readonly segments: LayoutSegment[];
  /** Taken intervals of each lane below the spine. */
  readonly taken: [number, number][][];
}

export interface Place {
  readonly row: OpenRow;
  readonly column: Column;
  readonly x: number;
  readonly left: number;
}

interface Drawn {
  readonly text: string;
  readonly cells: number;
}

const LABEL_CELLS = 10;
const drawn = new Map<string, Drawn>();

/** Vocabularies repeat themselves: each label is measured once. */
function drawnLabel(label: string): Drawn {
  let known = drawn.get(label);
  if (!known) {
    const text = elide(visible(label), LABEL_CELLS);
    known = { text, cells: cells(text) };
    drawn.set(label, known);
  }
  return known;
}

/** On the spine, where the label stands under its node. */
export function widthOf(token: Token, scale: Scale): number {
  const label = scale.detail === "full" ? drawnLabel(token.label).cells * scale.cell : 0;
  return Math.max(scale.columnMin, label + 2 * scale.labelPad, 2 * radiusOf(token, scale) + 4);
}

/** Below the spine, where the label stands beside its node. */
export function besideWidth(token: Token, scale: Scale): number {
  if (scale.detail !== "full") return Math.max(scale.tailStep, 2 * radiusOf(token, scale) + 3);
  const label = drawnLabel(token.label).cells * scale.cell;
  return scale.radiusMax + radiusOf(token, scale) + scale.besideGap + label;
}

export interface NodePosition {
  readonly x: number;
  readonly y: number;
  readonly left: number;
  readonly right: number;
  readonly lane: number;
  readonly level: number;
}

export function place(round: Round, token: Token, position: NodePosition, scale: Scale): LayoutNode {
  const label = scale.detail === "full" ? drawnLabel(token.label).text : null;
  const r = radiusOf(token, scale);
  return {
    token,
    r,
    label,
    siblingInfo: siblingInfoOf(round, token),
    head: changesSource(round, token),
    ...position,
  };
}
