// Branches below the spine. A chain takes the first lane with enough space and wraps at the margin; the other children
// of its nodes follow in the lanes below. Columns are laid out from right to left, so that no edge crosses a node.
import { type Children, childrenOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import {
  alongLane,
  aroundMargin,
  branchEdge,
  downTrunk,
  fromBelow,
  fromRight,
  fromSpine,
  toLeafInRow,
} from "./branchEdges";
import { drawnWidth, EDGE_GAP, isLabelled, leafRows, siblingGroups } from "./branchSize";
import { wrapChain } from "./chainWrap";
import type { Point } from "./elbow";
import type { ColumnPosition, LayoutNode, NodePosition, OpenRow } from "./geometry";
import { laneY, takeLane } from "./lanes";
import { layoutNode } from "./nodeSize";
import type { Scale } from "./scale";

/** Where branches are drawn. */
interface Area {
  readonly row: OpenRow;
  readonly round: Round;
  readonly children: Children;
  readonly width: number;
  readonly scale: Scale;
}

/** Where a branch begins. */
interface Start {
  /** x of the vertical edge to the first node. */
  readonly trunk: number;
  /** The branch lies below this lane. */
  readonly above: number;
  readonly parent: LayoutNode | null;
  /** Points of the edge from the parent to the trunk. */
  readonly toTrunk: readonly Point[];
}

/** Adds all nodes and edges of a round that are not on the spine. `parents`: nodes of the spine by draft node. */
export function layoutBranches(
  round: Round,
  columns: readonly ColumnPosition[],
  parents: ReadonlyMap<number | null, LayoutNode>,
  width: number,
  scale: Scale,
): void {
  const children = childrenOf(round);
  for (const { row, column, left } of columns.toReversed()) {
    const parent = parents.get(column.roots[0]?.parent ?? null) ?? null;
    const start: Start = { trunk: left, above: 0, parent, toTrunk: fromSpine(left, scale) };
    layoutSiblings(column.roots, () => start, { row, round, children, width, scale });
  }
}

/** Siblings one below the other, leaves side by side. `startFor` returns where a node of a given width begins. */
function layoutSiblings(siblings: readonly Token[], startFor: (width: number) => Start, area: Area): void {
  const { round, scale } = area;
  for (const { tokens, inRow } of siblingGroups(siblings, area.children)) {
    const start = startFor(Math.max(...tokens.map((token) => drawnWidth(token, round, scale))));
    if (inRow) layoutLeaves(tokens, start, area);
    else for (const token of tokens) layoutChain(token, start, area);
  }
}

function layoutLeaves(tokens: readonly Token[], { trunk, above, parent, toTrunk }: Start, area: Area): void {
  const { row, round, width, scale } = area;
  const begin = trunk + scale.indent;
  const widest = Math.min(scale.leafRowWidth, width - scale.margin - begin + scale.leafGap);
  const level = (parent?.level ?? 1) + 1;
  for (const leaves of leafRows(tokens, widest, round, scale)) {
    const total = leaves.reduce((sum, token) => sum + drawnWidth(token, round, scale) + scale.leafGap, 0);
    const lane = takeLane(row, trunk, begin + total - scale.leafGap, above);
    const y = laneY(lane, scale);
    let left = begin;
    for (const token of leaves) {
      const right = left + drawnWidth(token, round, scale);
      const node = branchNode(token, { left, right, y, lane, level }, area);
      const toNode = leaves.length === 1 ? downTrunk(trunk, node) : toLeafInRow(trunk, node, scale);
      add(node, parent, [...toTrunk, ...toNode], area);
      left = right + scale.leafGap;
    }
  }
}

/** A node with its first child, the first child of that one, and so on; then the other children of each. */
function layoutChain(root: Token, start: Start, area: Area): void {
  const { row, width, scale } = area;
  let { above, parent, toTrunk } = start;
  const nodes: LayoutNode[] = [];
  for (const line of wrapChain(chainFrom(root, area.children), start.trunk, area)) {
    const lane = takeLane(row, line.trunk, line.nodes.at(-1)?.right ?? line.trunk, above);
    const y = laneY(lane, scale);
    for (const [index, { token, left, right }] of line.nodes.entries()) {
      const level = (parent?.level ?? 1) + 1;
      const node = branchNode(token, { left, right, y, lane, level }, area);
      const previous = nodes.at(-1);
      if (index === 0 && previous) toTrunk = aroundMargin(previous, line.trunk, y, width, scale);
      const begins = index === 0 || !previous;
      add(
        node,
        parent,
        begins ? [...toTrunk, ...downTrunk(line.trunk, node)] : alongLane(previous, node),
        area,
      );
      nodes.push(node);
      parent = node;
    }
    above = lane;
  }
  for (const node of nodes.toReversed()) layoutOtherChildren(node, area);
}

function chainFrom(root: Token, children: Children): Token[] {
  const chain = [root];
  for (let next = children.get(root.node)?.[0]; next; next = children.get(next.node)?.[0]) chain.push(next);
  return chain;
}

/** All children except the first, which follows its parent in the same lane. */
function layoutOtherChildren(parent: LayoutNode, area: Area): void {
  const { scale, width } = area;
  const others = (area.children.get(parent.token.node) ?? []).slice(1);
  const startFor = (nodeWidth: number): Start => {
    const furthest = width - scale.margin - nodeWidth - scale.indent;
    const beside = parent.right + EDGE_GAP;
    if (beside <= furthest) {
      return { trunk: beside, above: parent.lane, parent, toTrunk: fromRight(parent, beside) };
    }
    const trunk = Math.min(parent.x, furthest);
    return { trunk, above: parent.lane, parent, toTrunk: fromBelow(parent, trunk, scale) };
  };
  layoutSiblings(others, startFor, area);
}

function add(
  node: LayoutNode,
  parent: LayoutNode | null,
  points: readonly Point[],
  { row, scale }: Area,
): void {
  row.nodes.push(node);
  row.edges.push(branchEdge(parent, node, points, scale));
}

/** A node with its label at its right; a dot where it has none. */
function branchNode(token: Token, position: Omit<NodePosition, "x">, { round, scale }: Area): LayoutNode {
  const { left, right } = position;
  const labelled = isLabelled(token, round, scale);
  const x = scale.detail === "full" && labelled ? left + scale.radiusMax : (left + right) / 2;
  const node = layoutNode(round, token, { ...position, x }, scale);
  return labelled ? node : { ...node, label: null, r: Math.min(node.r, (right - left) / 3.2) };
}
