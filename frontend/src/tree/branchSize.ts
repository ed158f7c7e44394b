// How much room branches take below the spine, and which of them share lines.
import { type Children, childrenOf, isTree, pathTo } from "../run/branches";
import type { Round, Token } from "../run/model";
import { failedTest } from "../run/token";
import { besideWidth } from "./geometry";
import type { Scale } from "./scale";

/** Between the room of a node and the line to what follows it. */
export const CLEAR = 2;
/** Fewer alternatives than this, on which nothing hangs, are a list. */
const LEAST_RAIL = 4;

/** A discarded tail is dots, in a chain: its words show from a large zoom on. In a tree they tell branches apart. */
export function isLabelled(token: Token, round: Round, scale: Scale): boolean {
  if (token.status !== "discarded" || scale.labelledTails || isTree(round)) return true;
  // Where block verification cut the draft, this is what the next token stands in for.
  return failedTest(token) && pathTo(round, token).at(-2)?.status !== "discarded";
}

export const roomOf = (token: Token, round: Round, scale: Scale): number =>
  isLabelled(token, round, scale) ? besideWidth(token, scale) : scale.tailStep;

/** From a node's room to the room of what follows it: dots stand close. */
export function linkTo(token: Token, round: Round, scale: Scale): number {
  return isLabelled(token, round, scale) ? CLEAR + scale.indent : 0;
}

export interface Group {
  readonly tokens: readonly Token[];
  /** Whether they hang side by side from one line, since nothing hangs on them. */
  readonly rail: boolean;
}

/** Siblings in their order: runs of leaves together, and each of the others for itself. */
export function groupsOf(siblings: readonly Token[], children: Children): Group[] {
  const runs: Token[][] = [];
  let leaves: Token[] | null = null;
  for (const token of siblings) {
    const isLeaf = !children.has(token.node);
    if (isLeaf && leaves) leaves.push(token);
    else runs.push([token]);
    leaves = isLeaf ? (runs.at(-1) ?? null) : null;
  }
  return runs.flatMap((run): Group[] =>
    run.length >= LEAST_RAIL
      ? [{ tokens: run, rail: true }]
      : run.map((token) => ({ tokens: [token], rail: false })),
  );
}

/** Leaves side by side, from the line they hang from to the right, in as many lines as it takes. */
export function railLines(tokens: readonly Token[], most: number, round: Round, scale: Scale): Token[][] {
  const lines: Token[][] = [];
  let used = 0;
  for (const token of tokens) {
    const room = roomOf(token, round, scale) + scale.leafGap;
    const line = lines.at(-1);
    if (line && used + room <= most) line.push(token);
    else {
      lines.push([token]);
      used = 0;
    }
    used += room;
  }
  return lines;
}

const widthOfLine = (line: readonly Token[], round: Round, scale: Scale): number =>
  line.reduce((sum, token) => sum + roomOf(token, round, scale) + scale.leafGap, -scale.leafGap);

/** How far right of the line that they hang from siblings reach, with all that hangs on them, when nothing wraps it. */
export function reachOf(siblings: readonly Token[], round: Round, scale: Scale): number {
  const children = childrenOf(round);
  const beyond = (token: Token): number => {
    const [first, ...others] = children.get(token.node) ?? [];
    const ahead = first ? linkTo(first, round, scale) + beyond(first) : 0;
    const below = others.length > 0 ? CLEAR + reachOf(others, round, scale) : 0;
    return roomOf(token, round, scale) + Math.max(ahead, below);
  };
  const reaches = groupsOf(siblings, children).map(({ tokens, rail }) => {
    if (!rail) return Math.max(...tokens.map(beyond));
    const lines = railLines(tokens, scale.railWidth, round, scale);
    return Math.max(...lines.map((line) => widthOfLine(line, round, scale)));
  });
  return scale.indent + Math.max(0, ...reaches);
}
