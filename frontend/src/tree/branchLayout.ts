// Branches below the spine: each chain takes the first lane where it has room, wraps at the margin as text does, and
// its siblings start again below it. Branches are hung from right to left, so that no line comes down through another.
import { type Children, childrenOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import { CLEAR, groupsOf, isLabelled, linkTo, railLines, roomOf } from "./branchSize";
import { elbow, type Point } from "./elbow";
import {
  type EdgeKind,
  type LayoutNode,
  type NodePosition,
  type OpenRow,
  type Place,
  place,
} from "./geometry";
import type { Scale } from "./scale";

interface Space {
  readonly row: OpenRow;
  readonly round: Round;
  readonly children: Children;
  readonly width: number;
  readonly scale: Scale;
}

interface Start {
  /** Where the line to the first node comes down. */
  readonly trunk: number;
  /** The chain lies below this lane. */
  readonly above: number;
  readonly parent: LayoutNode | null;
  /** The line's way to the trunk. */
  readonly from: readonly Point[];
}

/** Less than this is not worth an indent. */
const LEAST_LINE = 110;

export function layoutBranches(
  round: Round,
  places: readonly Place[],
  parents: ReadonlyMap<number | null, LayoutNode>,
  width: number,
  scale: Scale,
): void {
  const children = childrenOf(round);
  const bend = Math.min(8, scale.roundGap + 2);
  for (const { row, column, left } of places.toReversed()) {
    const from: Point[] = [
      [left - bend, scale.spineY],
      [left, scale.spineY],
    ];
    const parent = parents.get(column.roots[0]?.parent ?? null) ?? null;
    layoutSiblings(column.roots, () => ({ trunk: left, above: 0, parent, from }), {
      row,
      round,
      children,
      width,
      scale,
    });
  }
}

/** Siblings one below the other; leaves among them side by side. `startFor`: where a node of that width begins. */
function layoutSiblings(siblings: readonly Token[], startFor: (room: number) => Start, space: Space): void {
  const { round, scale } = space;
  for (const { tokens, rail } of groupsOf(siblings, space.children)) {
    const start = startFor(Math.max(...tokens.map((token) => roomOf(token, round, scale))));
    if (rail) layoutLeaves(tokens, start, space);
    else for (const token of tokens) layoutChain(token, start, space);
  }
}

function layoutLeaves(tokens: readonly Token[], { trunk, above, parent, from }: Start, space: Space): void {
  const { row, round, width, scale } = space;
  const begin = trunk + scale.indent;
  const most = Math.min(scale.railWidth, width - scale.margin - begin + scale.leafGap);
  const level = (parent?.level ?? 1) + 1;
  for (const line of railLines(tokens, most, round, scale)) {
    const total = line.reduce((sum, token) => sum + roomOf(token, round, scale) + scale.leafGap, 0);
    const lane = freeLane(row.taken, trunk, begin + total - scale.leafGap, above);
    const y = yOf(lane, scale);
    const rail = y - scale.laneHeight / 2;
    let left = begin;
    for (const token of line) {
      const right = left + roomOf(token, round, scale);
      const node = placeBeside(token, { left, right, y, lane, level }, space);
      const alone: Point[] = [
        [trunk, y],
        [node.x - node.r - 1, y],
      ];
      const hung: Point[] = [
        [trunk, rail],
        [node.x, rail],
        [node.x, y - node.r],
      ];
      draw(node, parent, [...from, ...(line.length === 1 ? alone : hung)], space);
      left = right + scale.leafGap;
    }
  }
}

function chainFrom(root: Token, children: Children): Token[] {
  const chain = [root];
  for (let next = children.get(root.node)?.[0]; next; next = children.get(next.node)?.[0]) chain.push(next);
  return chain;
}

interface Chunk {
  readonly nodes: { token: Token; left: number; right: number }[];
  /** Where its line comes down, or comes back to. */
  readonly trunk: number;
}

/** A tail draws closer together rather than wrap for a little too much length. */
function tailStep(chain: readonly Token[], trunk: number, { round, width, scale }: Space): number {
  const tail = chain.filter((token) => !isLabelled(token, round, scale));
  const firm = chain.reduce((sum, token) => {
    return tail.includes(token) ? sum : sum + roomOf(token, round, scale) + linkTo(token, round, scale);
  }, 0);
  const step = (width - scale.margin - trunk - firm) / tail.length;
  return step >= scale.tailStep / 2 ? Math.min(scale.tailStep, step) : scale.tailStep;
}

/** A line further in than the first, where there is room: at its trunk it would look like a sibling. */
function wrapTo(chain: readonly Token[], trunk: number, end: number, { round, scale }: Space): number {
  const inner = trunk + scale.indent;
  const widest = Math.max(...chain.map((token) => roomOf(token, round, scale)));
  return end - inner >= Math.max(LEAST_LINE, scale.indent + widest) ? inner : scale.margin;
}

/** Cuts a chain where it meets the margin. */
function wrap(chain: readonly Token[], start: Start, space: Space): Chunk[] {
  const { round, width, scale } = space;
  const end = width - scale.margin;
  const step = tailStep(chain, start.trunk, space);
  const again = wrapTo(chain, start.trunk, end, space);
  let chunk: Chunk = { nodes: [], trunk: start.trunk };
  const chunks = [chunk];
  let edge = start.trunk;
  for (const token of chain) {
    const room = isLabelled(token, round, scale) ? roomOf(token, round, scale) : step;
    const link = chunk.nodes.length === 0 ? scale.indent : linkTo(token, round, scale);
    let left = edge + link;
    if (left + room > end + 1e-6 && chunk.nodes.length > 0) {
      chunk = { nodes: [], trunk: again };
      chunks.push(chunk);
      left = again + scale.indent;
    }
    chunk.nodes.push({ token, left, right: left + room });
    edge = left + room;
  }
  return chunks;
}

/** Takes the first lane below `above` where there is room, and room for the line that comes down to it. */
function freeLane(taken: [number, number][][], from: number, to: number, above: number): number {
  let lane = above + 1;
  while ((taken[lane - 1] ?? []).some(([a, b]) => a < to && from < b)) lane += 1;
  while (taken.length < lane) taken.push([]);
  for (let passed = above; passed < lane - 1; passed += 1) taken[passed]?.push([from - CLEAR, from + CLEAR]);
  taken[lane - 1]?.push([from, to]);
  return lane;
}

const yOf = (lane: number, scale: Scale): number =>
  scale.spineY + scale.spineBelow + (lane - 0.5) * scale.laneHeight;

function layoutChain(root: Token, start: Start, space: Space): void {
  const { row, scale } = space;
  let { above, parent: previous, from } = start;
  const placed: LayoutNode[] = [];
  for (const { nodes, trunk } of wrap(chainFrom(root, space.children), start, space)) {
    const lane = freeLane(row.taken, trunk, nodes.at(-1)?.right ?? trunk, above);
    const y = yOf(lane, scale);
    nodes.forEach(({ token, left, right }, index) => {
      const level = (previous?.level ?? 1) + 1;
      const node = placeBeside(token, { left, right, y, lane, level }, space);
      if (index === 0 && placed.length > 0 && previous) from = around(previous, trunk, y, space);
      const down: Point[] = [...from, [trunk, y], [node.x - node.r - 1, y]];
      draw(node, previous, index === 0 ? down : between(previous, node), space);
      placed.push(node);
      previous = node;
    });
    above = lane;
  }
  for (const node of placed.toReversed()) layoutOtherChildren(node, space);
}

function draw(
  node: LayoutNode,
  parent: LayoutNode | null,
  way: readonly Point[],
  { row, scale }: Space,
): void {
  const { token } = node;
  row.nodes.push(node);
  row.edges.push({
    key: `${token.key}<`,
    from: parent?.token.key ?? null,
    to: token.key,
    kind: kindOf(token),
    source: token.draft?.source ?? null,
    path: elbow(way, Math.min(7, scale.laneHeight / 3)),
  });
}

function placeBeside(token: Token, room: Omit<NodePosition, "x">, { round, scale }: Space): LayoutNode {
  const { left, right } = room;
  const labelled = isLabelled(token, round, scale);
  const full = scale.detail === "full" && labelled;
  const x = full ? left + scale.radiusMax : (left + right) / 2;
  const node = place(round, token, { ...room, x }, scale);
  return labelled ? node : { ...node, label: null, r: Math.min(node.r, (right - left) / 3.2) };
}

/** All children but the first, which goes on in the parent's lane. */
function layoutOtherChildren(parent: LayoutNode, space: Space): void {
  const { scale, width } = space;
  const others = (space.children.get(parent.token.node) ?? []).slice(1);
  const startFor = (room: number): Start => {
    const furthest = width - scale.margin - room - scale.indent;
    const beside = parent.right + CLEAR;
    if (beside > furthest) {
      const trunk = Math.min(parent.x, furthest);
      return { trunk, above: parent.lane, parent, from: under(parent, trunk, scale) };
    }
    const from: Point[] = [
      [beside - 1, parent.y],
      [beside, parent.y],
    ];
    return { trunk: beside, above: parent.lane, parent, from };
  };
  layoutSiblings(others, startFor, space);
}

/** Where there is no room to the right of a node, what hangs on it comes down from under it. */
function under(parent: LayoutNode, trunk: number, scale: Scale): Point[] {
  const gap = parent.y + scale.laneHeight / 2;
  return [
    [parent.x, parent.y + parent.r + 1],
    [parent.x, gap],
    [trunk, gap],
  ];
}

/** From the end of a lane through the margin back to where the next one begins. */
function around(last: LayoutNode, trunk: number, y: number, { width, scale }: Space): Point[] {
  const end = width - scale.margin / 2;
  const gap = y - scale.laneHeight / 2;
  return [
    [last.right + CLEAR, last.y],
    [end, last.y],
    [end, gap],
    [trunk, gap],
  ];
}

/** Along a lane: from behind a label, or from a dot. */
function between(previous: LayoutNode | null, node: LayoutNode): Point[] {
  if (!previous) return [];
  const begin = previous.label === null ? previous.x + previous.r : previous.right + CLEAR;
  return [
    [begin, node.y],
    [node.x - node.r - 1, node.y],
  ];
}

function kindOf(token: Token): EdgeKind {
  return token.status === "rejected" ? "rejected" : token.status === "pending" ? "waiting" : "tail";
}
