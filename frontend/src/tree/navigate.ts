// Arrow keys in the tree: left and right along a path, up and down between siblings.
import { childrenOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import { columnsOf } from "./columns";
import { rowOf, spineOf } from "./find";
import type { Layout, LayoutNode } from "./geometry";

export type Step = "left" | "right" | "up" | "down" | "first" | "last";

interface Found {
  readonly node: LayoutNode;
  readonly row: number;
}

export function nodeAt(layout: Layout, key: string): Found | null {
  const row = rowOf(layout, key);
  if (row === null) return null;
  const node = layout.rows[row]?.nodes.find((placed) => placed.token.key === key);
  return node ? { node, row } : null;
}

/** The key of the next token; the same key at an end. Without `from`, the newest token. */
export function step(layout: Layout, from: string | null, direction: Step): string | null {
  const spine = spineOf(layout);
  if (direction === "first") return spine[0] ?? null;
  if (direction === "last" || from === null || rowOf(layout, from) === null) return spine.at(-1) ?? null;
  if (layout.scale.detail === "bars") return stepRounds(layout, from, direction);
  const found = nodeAt(layout, from);
  if (!found) return spine.at(-1) ?? null;
  if (direction === "left" || direction === "right") return sideways(layout, found, direction);
  return toSibling(layout, found, direction) ?? upOrDown(layout, found, direction) ?? from;
}

function roundOf(layout: Layout, { node, row }: Found): Round | undefined {
  const segments = layout.rows[row]?.segments ?? [];
  return segments.find(({ round }) => round.index === node.token.round)?.round;
}

function sideways(layout: Layout, found: Found, direction: "left" | "right"): string {
  const { token, lane } = found.node;
  if (lane === 0) {
    const spine = spineOf(layout);
    return spine[spine.indexOf(token.key) + (direction === "right" ? 1 : -1)] ?? token.key;
  }
  if (direction === "right") {
    const round = roundOf(layout, found);
    return (round && childrenOf(round).get(token.node)?.[0]?.key) ?? token.key;
  }
  const edges = layout.rows[found.row]?.edges ?? [];
  return edges.find((edge) => edge.to === token.key)?.from ?? token.key;
}

/** The siblings at one position from top to bottom: the one on the spine, if any, then the others. */
function siblingsOf(round: Round, node: LayoutNode): readonly Token[] {
  for (const { token, roots } of columnsOf(round)) {
    const column = token ? [token, ...roots] : roots;
    if (column.some(({ key }) => key === node.token.key)) return column;
  }
  return childrenOf(round).get(node.token.parent) ?? [];
}

function toSibling(layout: Layout, found: Found, direction: "up" | "down"): string | null {
  const round = roundOf(layout, found);
  if (!round) return null;
  const siblings = siblingsOf(round, found.node);
  const at = siblings.findIndex(({ key }) => key === found.node.token.key);
  return siblings[at + (direction === "down" ? 1 : -1)]?.key ?? null;
}

/** The nearest node in a lane below (or above); after the last lane, the nearest on the spine of the next row. */
function upOrDown(layout: Layout, { node, row }: Found, direction: "up" | "down"): string | null {
  const down = direction === "down";
  const inRow = (layout.rows[row]?.nodes ?? []).filter((other) =>
    down ? other.lane > node.lane : other.lane < node.lane,
  );
  const distance = Math.max(60, node.right - node.left);
  const near = inRow.filter((other) => Math.abs(other.x - node.x) <= distance);
  const here = nearest(near.length > 0 || down ? near : inRow, node, 3);
  if (here) return here.token.key;
  const spine = (layout.rows[row + (down ? 1 : -1)]?.nodes ?? []).filter((other) => other.lane === 0);
  return nearest(spine, node, 0)?.token.key ?? null;
}

function nearest(nodes: readonly LayoutNode[], to: LayoutNode, laneWeight: number): LayoutNode | null {
  const distance = (node: LayoutNode) =>
    Math.abs(node.x - to.x) + laneWeight * 40 * Math.abs(node.lane - to.lane);
  return nodes.reduce<LayoutNode | null>(
    (best, node) => (best === null || distance(node) < distance(best) ? node : best),
    null,
  );
}

function stepRounds(layout: Layout, from: string, direction: Step): string {
  const bars = layout.rows.flatMap((row) => row.bars);
  const perRow = layout.rows[0]?.bars.length ?? 1;
  const round = Number.parseInt(from, 10);
  const at = bars.findIndex((bar) => bar.round.index === round);
  const by = { left: -1, right: 1, up: -perRow, down: perRow, first: 0, last: 0 }[direction];
  const target = bars[at + by]?.round;
  return target ? (target.emitted[0]?.key ?? target.drafted[0]?.key ?? from) : from;
}
