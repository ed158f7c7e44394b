// The points of the edges between nodes below the spine.
import type { Token } from "../run/model";
import { EDGE_GAP } from "./branchSize";
import { elbow, type Point } from "./elbow";
import type { EdgeKind, LayoutEdge, LayoutNode } from "./geometry";
import type { Scale } from "./scale";

export function branchEdge(
  parent: LayoutNode | null,
  { token }: LayoutNode,
  points: readonly Point[],
  scale: Scale,
): LayoutEdge {
  return {
    key: `${token.key}<`,
    from: parent?.token.key ?? null,
    to: token.key,
    kind: edgeKind(token),
    source: token.draft?.source ?? null,
    path: elbow(points, Math.min(7, scale.laneHeight / 3)),
  };
}

function edgeKind(token: Token): EdgeKind {
  return token.status === "rejected" ? "rejected" : token.status === "pending" ? "waiting" : "tail";
}

/** From the spine down to the trunk of the branches under a column that begins at `left`. */
export function fromSpine(left: number, scale: Scale): Point[] {
  const bend = Math.min(8, scale.roundGap + 2);
  return [
    [left - bend, scale.spineY],
    [left, scale.spineY],
  ];
}

/** From the right of a node to a trunk beside it. */
export const fromRight = (parent: LayoutNode, trunk: number): Point[] => [
  [trunk - 1, parent.y],
  [trunk, parent.y],
];

/** From below a node to a trunk further left: for a node with no space at its right. */
export function fromBelow(parent: LayoutNode, trunk: number, scale: Scale): Point[] {
  const gap = parent.y + scale.laneHeight / 2;
  return [
    [parent.x, parent.y + parent.r + 1],
    [parent.x, gap],
    [trunk, gap],
  ];
}

/** From the end of a line through the right margin back to the trunk of the next line at `y`. */
export function aroundMargin(
  last: LayoutNode,
  trunk: number,
  y: number,
  width: number,
  scale: Scale,
): Point[] {
  const end = width - scale.margin / 2;
  const gap = y - scale.laneHeight / 2;
  return [
    [last.right + EDGE_GAP, last.y],
    [end, last.y],
    [end, gap],
    [trunk, gap],
  ];
}

/** Down the trunk to a node. */
export const downTrunk = (trunk: number, node: LayoutNode): Point[] => [
  [trunk, node.y],
  [node.x - node.r - 1, node.y],
];

/** Down the trunk, along the line above a row of leaves, and down to one of them. */
export function toLeafInRow(trunk: number, node: LayoutNode, scale: Scale): Point[] {
  const y = node.y - scale.laneHeight / 2;
  return [
    [trunk, y],
    [node.x, y],
    [node.x, node.y - node.r],
  ];
}

/** Along a lane from a parent to its first child. */
export function alongLane(parent: LayoutNode, node: LayoutNode): Point[] {
  const begin = parent.label === null ? parent.x + parent.r : parent.right + EDGE_GAP;
  return [
    [begin, node.y],
    [node.x - node.r - 1, node.y],
  ];
}
