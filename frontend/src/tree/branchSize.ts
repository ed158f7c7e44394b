// The width of branches below the spine, and which siblings share a line.
import { type Children, childrenOf, isTree, pathTo } from "../run/branches";
import type { Round, Token } from "../run/model";
import { failedTest } from "../run/token";
import { branchNodeWidth } from "./nodeSize";
import type { Scale } from "./scale";

/** Between a node with its label and the edge to its child. */
export const EDGE_GAP = 2;
/** From this number on, leaves of one parent are drawn side by side. */
const LEAVES_IN_ROW_FROM = 4;

/** In a chain, discarded tokens are dots without labels below a large zoom. In a tree, labels distinguish the branches. */
export function isLabelled(token: Token, round: Round, scale: Scale): boolean {
  if (token.status !== "discarded" || scale.labelledTails || isTree(round)) return true;
  // Under block verification this is the token that the emitted one replaces.
  return failedTest(token) && pathTo(round, token).at(-2)?.status !== "discarded";
}

/** Width of a node below the spine, with its label if it has one. */
export const drawnWidth = (token: Token, round: Round, scale: Scale): number =>
  isLabelled(token, round, scale) ? branchNodeWidth(token, scale) : scale.tailStep;

/** Length of the edge from a parent to `token` in the same lane; dots follow each other without one. */
export function edgeLength(token: Token, round: Round, scale: Scale): number {
  return isLabelled(token, round, scale) ? EDGE_GAP + scale.indent : 0;
}

export interface SiblingGroup {
  readonly tokens: readonly Token[];
  /** Whether the tokens are leaves that are drawn side by side. */
  readonly inRow: boolean;
}

/** Siblings in their order: successive leaves as one group, each other token as a group of its own. */
export function siblingGroups(siblings: readonly Token[], children: Children): SiblingGroup[] {
  const runs: Token[][] = [];
  let leaves: Token[] | null = null;
  for (const token of siblings) {
    const isLeaf = !children.has(token.node);
    if (isLeaf && leaves) leaves.push(token);
    else runs.push([token]);
    leaves = isLeaf ? (runs.at(-1) ?? null) : null;
  }
  return runs.flatMap((run): SiblingGroup[] =>
    run.length >= LEAVES_IN_ROW_FROM
      ? [{ tokens: run, inRow: true }]
      : run.map((token) => ({ tokens: [token], inRow: false })),
  );
}

/** Splits leaves into rows of at most `widest` pixels. */
export function leafRows(tokens: readonly Token[], widest: number, round: Round, scale: Scale): Token[][] {
  const rows: Token[][] = [];
  let used = 0;
  for (const token of tokens) {
    const width = drawnWidth(token, round, scale) + scale.leafGap;
    const row = rows.at(-1);
    if (row && used + width <= widest) row.push(token);
    else {
      rows.push([token]);
      used = 0;
    }
    used += width;
  }
  return rows;
}

const leafRowWidth = (row: readonly Token[], round: Round, scale: Scale): number =>
  row.reduce((sum, token) => sum + drawnWidth(token, round, scale) + scale.leafGap, -scale.leafGap);

/** Width of siblings with all their descendants, from the trunk to the right, without wrapping. */
export function branchWidth(siblings: readonly Token[], round: Round, scale: Scale): number {
  const children = childrenOf(round);
  const subtreeWidth = (token: Token): number => {
    const [first, ...others] = children.get(token.node) ?? [];
    const inLane = first ? edgeLength(first, round, scale) + subtreeWidth(first) : 0;
    const below = others.length > 0 ? EDGE_GAP + branchWidth(others, round, scale) : 0;
    return drawnWidth(token, round, scale) + Math.max(inLane, below);
  };
  const widths = siblingGroups(siblings, children).map(({ tokens, inRow }) => {
    if (!inRow) return Math.max(...tokens.map(subtreeWidth));
    const rows = leafRows(tokens, scale.leafRowWidth, round, scale);
    return Math.max(...rows.map((row) => leafRowWidth(row, round, scale)));
  });
  return scale.indent + Math.max(0, ...widths);
}
