// Moving through the tree with the arrow keys.
import type { Layout, PlacedNode } from "./placed";

export type Step = "left" | "right" | "up" | "down" | "first" | "last";

interface Found {
  readonly node: PlacedNode;
  readonly row: number;
}

export function nodeAt(layout: Layout, key: string): Found | null {
  const row = layout.rowOf.get(key);
  if (row === undefined) return null;
  const node = layout.rows[row]?.nodes.find((placed) => placed.token.key === key);
  return node ? { node, row } : null;
}

/** The key to go to; the same key at an end. Starts at the newest token. */
export function step(layout: Layout, from: string | null, direction: Step): string | null {
  const { spine } = layout;
  if (direction === "first") return spine[0] ?? null;
  if (direction === "last" || from === null || !layout.rowOf.has(from)) return spine.at(-1) ?? null;
  if (layout.scale.detail === "bars") return stepRounds(layout, from, direction);
  const found = nodeAt(layout, from);
  if (!found) return spine.at(-1) ?? null;
  if (direction === "left" || direction === "right") return sideways(layout, found, direction);
  return upOrDown(layout, found, direction) ?? from;
}

function sideways(layout: Layout, { node, row }: Found, direction: "left" | "right"): string {
  const key = node.token.key;
  if (node.lane === 0) {
    const index = layout.spine.indexOf(key) + (direction === "right" ? 1 : -1);
    return layout.spine[index] ?? key;
  }
  const edges = layout.rows[row]?.edges ?? [];
  if (direction === "left") return edges.find((edge) => edge.to === key)?.from ?? key;
  return edges.find((edge) => edge.from === key)?.to ?? key;
}

/** The nearest lane below (or above) with a node about here; past the last one, the spine of the next row. */
function upOrDown(layout: Layout, { node, row }: Found, direction: "up" | "down"): string | null {
  const down = direction === "down";
  const inRow = (layout.rows[row]?.nodes ?? []).filter((other) =>
    down ? other.lane > node.lane : other.lane < node.lane,
  );
  const reach = Math.max(60, node.right - node.left);
  const near = inRow.filter((other) => Math.abs(other.x - node.x) <= reach);
  const here = nearest(near.length > 0 || down ? near : inRow, node, 3);
  if (here) return here.token.key;
  const spine = (layout.rows[row + (down ? 1 : -1)]?.nodes ?? []).filter((other) => other.lane === 0);
  return nearest(spine, node, 0)?.token.key ?? null;
}

function nearest(nodes: readonly PlacedNode[], to: PlacedNode, laneWeight: number): PlacedNode | null {
  const distance = (node: PlacedNode) =>
    Math.abs(node.x - to.x) + laneWeight * 40 * Math.abs(node.lane - to.lane);
  return nodes.reduce<PlacedNode | null>(
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
