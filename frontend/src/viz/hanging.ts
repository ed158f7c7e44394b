// Branches below the spine: each chain takes the first lane where it has room, folds back at the margin, and its
// siblings start again below it. Branches are hung from right to left, so that no line comes down through another.
import type { Round, Token } from "../state/model";
import { type EdgeKind, type OpenRow, type Place, type PlacedNode, place, widthOf } from "./placed";
import type { Scale } from "./scale";
import { type Children, shapeOf } from "./spine";

interface Space {
  readonly row: OpenRow;
  readonly children: Children;
  readonly width: number;
  readonly scale: Scale;
}

interface Start {
  /** Left edge of the first node's room; the branch comes down along it. */
  readonly left: number;
  readonly x: number;
  /** The chain lies below this lane. */
  readonly above: number;
  readonly parent: PlacedNode | null;
}

export function hangAll(
  round: Round,
  places: readonly Place[],
  parents: ReadonlyMap<number | null, PlacedNode>,
  width: number,
  scale: Scale,
): void {
  const { children } = shapeOf(round);
  for (const { row, column, x, left } of places.toReversed()) {
    for (const root of column.roots) {
      const parent = parents.get(root.parent);
      const start = { left, x, above: 0, parent: parent ?? null };
      hangChain(root, start, { row, children, width, scale });
    }
  }
}

function chainFrom(root: Token, children: Children): Token[] {
  const chain = [root];
  for (let next = children.get(root.node)?.[0]; next; next = children.get(next.node)?.[0]) chain.push(next);
  return chain;
}

/** What was never tested is dots; its words show from a large zoom on. */
function tailWidth(token: Token, scale: Scale): { width: number; labelled: boolean } {
  const labelled = token.status !== "discarded" || scale.labelledTails;
  return { width: labelled ? widthOf(token, scale) : scale.tailStep, labelled };
}

/** How far right of its column's left edge a branch reaches when nothing folds it. */
export function reachOf(root: Token, children: Children, scale: Scale): number {
  const below = (children.get(root.node) ?? []).map((child) => reachOf(child, children, scale));
  return tailWidth(root, scale).width + Math.max(0, ...below);
}

interface Chunk {
  readonly nodes: { token: Token; x: number; width: number; labelled: boolean }[];
  readonly forward: boolean;
}

/** A tail draws closer together rather than fold for a little too much length. */
function tailStep(chain: readonly Token[], start: Start, right: number, scale: Scale): number {
  const rooms = chain.map((token) => tailWidth(token, scale));
  const firm = rooms.reduce((sum, { width, labelled }) => sum + (labelled ? width : 0), 0);
  const step = (right - start.left - firm) / rooms.filter(({ labelled }) => !labelled).length;
  return step >= scale.tailStep / 2 ? Math.min(scale.tailStep, step) : scale.tailStep;
}

/** Cuts a chain where it meets a margin; every other piece runs backwards. */
function fold(chain: readonly Token[], start: Start, { width, scale }: Space): Chunk[] {
  const right = width - scale.margin;
  const step = tailStep(chain, start, right, scale);
  let chunk: Chunk = { nodes: [], forward: true };
  const chunks = [chunk];
  let edge = start.left;
  chain.forEach((token, index) => {
    const { width: wish, labelled } = tailWidth(token, scale);
    const room = labelled ? wish : step;
    const leaves = chunk.forward ? edge + room > right + 1e-6 : edge - room < scale.margin;
    if (leaves && chunk.nodes.length > 0) {
      edge = chunk.forward ? right : scale.margin;
      chunk = { nodes: [], forward: !chunk.forward };
      chunks.push(chunk);
    }
    const x = index === 0 ? start.x : chunk.forward ? edge + room / 2 : edge - room / 2;
    chunk.nodes.push({ token, x, width: room, labelled });
    edge = chunk.forward ? x + room / 2 : x - room / 2;
  });
  return chunks;
}

function freeLane(taken: [number, number][][], from: number, to: number, above: number): number {
  let lane = above + 1;
  while ((taken[lane - 1] ?? []).some(([a, b]) => a < to && from < b)) lane += 1;
  while (taken.length < lane) taken.push([]);
  taken[lane - 1]?.push([from, to]);
  return lane;
}

function hangChain(root: Token, start: Start, space: Space): void {
  const { row, scale } = space;
  let above = start.above;
  let previous = start.parent;
  const placed: PlacedNode[] = [];
  for (const [index, chunk] of fold(chainFrom(root, space.children), start, space).entries()) {
    const lefts = chunk.nodes.map((node) => node.x - node.width / 2);
    const rights = chunk.nodes.map((node) => node.x + node.width / 2);
    const from = index === 0 ? Math.min(start.left, ...lefts) : Math.min(...lefts);
    const lane = freeLane(row.taken, from, Math.max(...rights), above);
    const y = scale.spineY + scale.spineBelow + (lane - 1) * scale.laneHeight + scale.radiusMax;
    for (const { token, x, width, labelled } of chunk.nodes) {
      const full = place(token, x, y, lane, width, scale);
      const node = labelled ? full : { ...full, label: null, r: Math.min(full.r, width / 3.2) };
      const path = placed.length === 0 ? descent(start, node, scale) : link(previous, node, chunk.forward);
      row.edges.push({
        key: `${token.key}<`,
        from: previous?.token.key ?? null,
        to: token.key,
        kind: kindOf(token),
        path,
      });
      row.nodes.push(node);
      placed.push(node);
      previous = node;
    }
    above = lane;
  }
  for (const node of placed.toReversed()) hangSiblings(node, space);
}

function hangSiblings(parent: PlacedNode, space: Space): void {
  for (const sibling of (space.children.get(parent.token.node) ?? []).slice(1)) {
    const room = widthOf(sibling, space.scale);
    const left = Math.min(parent.right, space.width - space.scale.margin - room);
    const start = { left, x: left + room / 2, above: parent.lane, parent };
    hangChain(sibling, start, space);
  }
}

function kindOf(token: Token): EdgeKind {
  return token.status === "rejected" ? "rejected" : token.status === "pending" ? "waiting" : "tail";
}

/** Off the parent's line in the gap before the column, and down between the labels. */
function descent({ left, parent, above }: Start, node: PlacedNode, scale: Scale): string {
  const top = above === 0 ? scale.spineY : (parent?.y ?? scale.spineY);
  const bend = Math.min(8, scale.roundGap + 2, node.y - top);
  const begin = above === 0 ? left - bend : Math.min(left - bend, (parent?.x ?? 0) + (parent?.r ?? 0));
  const end = Math.max(left, node.x - node.r - 1);
  return [
    `M${begin},${top}H${left - bend}Q${left},${top} ${left},${top + bend}`,
    `V${node.y - bend}Q${left},${node.y} ${Math.min(left + bend, end)},${node.y}H${end}`,
  ].join("");
}

function link(previous: PlacedNode | null, node: PlacedNode, ahead: boolean): string {
  if (!previous) return "";
  const forward = node.x >= previous.x;
  if (previous.lane === node.lane) {
    return forward
      ? `M${previous.x + previous.r},${node.y}H${node.x - node.r}`
      : `M${previous.x - previous.r},${node.y}H${node.x + node.r}`;
  }
  const out = ahead ? Math.min(previous.left, node.left) - 10 : Math.max(previous.right, node.right) + 10;
  const side = ahead ? -1 : 1;
  const [from, to] = [previous.x + side * previous.r, node.x + side * node.r];
  return `M${from},${previous.y}C${out},${previous.y} ${out},${node.y} ${to},${node.y}`;
}
