// A round's draft as a tree: who hangs on whom, and what a node attends to in the pass that verifies it.
import type { Round, Run, Token } from "./model";

/** Drafted nodes by parent, in node order; null is the last committed token. */
export type Children = ReadonlyMap<number | null, readonly Token[]>;

/** A token among the alternatives for its place. */
export interface SiblingInfo {
  /** The drafted token it hangs on; null for the last committed token. */
  readonly parent: Token | null;
  /** Among the drafted children of its parent, from 1; 0 for the token that was not drafted. */
  readonly number: number;
  /** How many those are. */
  readonly count: number;
  /** The place of an earlier sibling that says the same; 0 if there is none. */
  readonly duplicateOf: number;
}

interface DraftTree {
  readonly children: Children;
  readonly byNode: ReadonlyMap<number, Token>;
  readonly isTree: boolean;
  /** By key, as far as it was asked for: the same object each time. */
  readonly siblingInfo: Map<string, SiblingInfo>;
}

/** Rounds never change in place, so each is read once. */
const read = new WeakMap<Round, DraftTree>();

function draftTreeOf(round: Round): DraftTree {
  let tree = read.get(round);
  if (!tree) {
    const children = new Map<number | null, Token[]>();
    const byNode = new Map<number, Token>();
    for (const token of round.drafted) {
      if (token.node !== null) byNode.set(token.node, token);
      const siblings = children.get(token.parent);
      if (siblings) siblings.push(token);
      else children.set(token.parent, [token]);
    }
    const isTree = [...children.values()].some((siblings) => siblings.length > 1);
    tree = { children, byNode, isTree, siblingInfo: new Map() };
    read.set(round, tree);
  }
  return tree;
}

export const childrenOf = (round: Round): Children => draftTreeOf(round).children;

/** Whether its draft has branches; a chain has none. */
export const isTree = (round: Round): boolean => draftTreeOf(round).isTree;

/** Null in a chain, where a token has no alternatives. */
export function siblingInfoOf(round: Round, token: Token): SiblingInfo | null {
  const tree = draftTreeOf(round);
  if (!tree.isTree) return null;
  let siblingInfo = tree.siblingInfo.get(token.key);
  if (!siblingInfo) {
    siblingInfo = findSiblingInfo(tree, token);
    tree.siblingInfo.set(token.key, siblingInfo);
  }
  return siblingInfo;
}

function findSiblingInfo({ children, byNode }: DraftTree, token: Token): SiblingInfo {
  const siblings = children.get(token.parent) ?? [];
  const same = siblings.findIndex((other) => other.tokenId === token.tokenId);
  const at = siblings.findIndex((other) => other.key === token.key);
  return {
    parent: token.parent === null ? null : (byNode.get(token.parent) ?? null),
    number: at + 1,
    count: siblings.length,
    duplicateOf: same < at ? same + 1 : 0,
  };
}

export function siblingInfoIn(run: Run, token: Token): SiblingInfo | null {
  const round = run.rounds.find(({ index }) => index === token.round);
  return round ? siblingInfoOf(round, token) : null;
}

/**
 * Whether another source drafted it than the token it is drawn next to: the alternative above it, which is the one on
 * the path for the first that hangs, or the token it follows.
 */
export function changesSource(round: Round, token: Token): boolean {
  if (!token.draft) return false;
  const { children, byNode } = draftTreeOf(round);
  const siblings = children.get(token.parent) ?? [];
  const standing =
    siblings.find(({ status }) => status === "accepted") ??
    siblings.find(({ status }) => status === "pending");
  const hanging = siblings.filter((other) => other !== standing);
  const at = hanging.findIndex(({ key }) => key === token.key);
  const above = at < 0 ? undefined : (hanging[at - 1] ?? standing);
  const beside = above ?? (token.parent === null ? undefined : byNode.get(token.parent));
  return beside?.draft?.source !== token.draft.source;
}

/** The drafted tokens from a child of the last committed token down to this one, itself included if it was drafted. */
export function pathTo(round: Round, token: Token): readonly Token[] {
  const { byNode } = draftTreeOf(round);
  const path = token.node === null ? [] : [token];
  for (let up = token.parent; up !== null; ) {
    const parent = byNode.get(up);
    if (!parent) break;
    path.push(parent);
    up = parent.parent;
  }
  return path.reverse();
}

/** What one token attends to in the pass that verifies the draft, beyond the committed text. */
export interface Attention {
  readonly round: number;
  readonly token: Token;
  readonly path: readonly Token[];
  readonly keys: ReadonlySet<string>;
  /** Nodes of the draft that it cannot see. */
  readonly hidden: number;
}

/** Null in a chain, where each token attends to all before it. */
export function attentionOf(run: Run, key: string | null): Attention | null {
  if (key === null) return null;
  const index = Number.parseInt(key, 10);
  const round = run.rounds.find((other) => other.index === index);
  if (!round || !isTree(round)) return null;
  const token = [...round.drafted, ...round.emitted].find((other) => other.key === key);
  if (!token) return null;
  const path = pathTo(round, token);
  const keys = new Set([...path.map((other) => other.key), key]);
  return { round: index, token, path, keys, hidden: round.drafted.length - path.length };
}
