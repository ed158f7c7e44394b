// A draft as a tree: its nodes, what each attends to, and the tokens that it gives.

export interface TreeNode {
  /** From 0, level by level. */
  readonly id: number;
  /** Null after the text. */
  readonly parent: number | null;
  /** From 0. */
  readonly depth: number;
  /** Its place among its siblings, from 0: the order in which they are tested. */
  readonly rank: number;
}

/** A tree in which every node of depth d − 1 has `widths[d]` children. */
export function treeOf(widths: readonly number[]): TreeNode[] {
  const nodes: TreeNode[] = [];
  let parents: (number | null)[] = [null];
  for (const [depth, width] of widths.entries()) {
    const level: number[] = [];
    for (const parent of parents) {
      for (let rank = 0; rank < width; rank += 1) {
        level.push(nodes.length);
        nodes.push({ id: nodes.length, parent, depth, rank });
      }
    }
    parents = level;
  }
  return nodes;
}

/** The nodes that a node attends to besides the text: its ancestors and itself, from the text on. */
export function attended(nodes: readonly TreeNode[], id: number): number[] {
  const path: number[] = [];
  for (let at: number | null = id; at !== null; at = nodes[at]?.parent ?? null) path.push(at);
  return path.reverse();
}

export interface TreeCosts {
  /** The probability that the first token after an accepted one is accepted. */
  readonly first: number;
  /** The same for each further sibling, after the ones before it were rejected. */
  readonly further: number;
  /** Extra time of the verification pass for each node, in plain passes. */
  readonly growth: number;
  /** Time of one drafting step, in plain passes: one for each depth. */
  readonly draft: number;
}

/** 1 − (1 − first) · (1 − further)^(width − 1): that one of `width` siblings is accepted. */
export const siblingsAccepted = ({ first, further }: TreeCosts, width: number): number =>
  width < 1 ? 0 : 1 - (1 - first) * (1 - further) ** (width - 1);

/** 1 + Σ over depths of the probability that the accepted path reaches that depth. */
export function treeTokens(costs: TreeCosts, widths: readonly number[]): number {
  let reached = 1;
  let tokens = 1;
  for (const width of widths) {
    reached *= siblingsAccepted(costs, width);
    tokens += reached;
  }
  return tokens;
}

/** The time of a round in plain passes. */
export const treeCost = ({ growth, draft }: TreeCosts, widths: readonly number[]): number =>
  widths.length * draft + 1 + growth * treeOf(widths).length;

export const treeSpeedup = (costs: TreeCosts, widths: readonly number[]): number =>
  treeTokens(costs, widths) / treeCost(costs, widths);
