// A round's draft as a tree: parents, siblings, paths, and the tokens that a node attends to during verification.
import type { Round, Run, Token } from "./model";

/** Drafted tokens by the node of their parent, in node order. The parent null is the last committed token. */
export type Children = ReadonlyMap<number | null, readonly Token[]>;

/** A token among its siblings: the tokens drafted after the same parent. */
export interface SiblingInfo {
  /** Null if the parent is the last committed token. */
  readonly parent: Token | null;
  /** Its number among the siblings, from 1; 0 for a token that was not drafted. */
  readonly number: number;
  /** The number of siblings, itself included. */
  readonly count: number;
  /** The number of an earlier sibling with the same token id; 0 if there is none. */
  readonly duplicateOf: number;
}

interface DraftTree {
  readonly children: Children;
  readonly byNode: ReadonlyMap<number, Token>;
  readonly isTree: boolean;
  /** By token key, filled on demand, so that each token always gets the same object. */
  readonly siblingInfo: Map<string, SiblingInfo>;
}

/** Round objects never change, so each is indexed once. */
const draftTrees = new WeakMap<Round, DraftTree>();

function draftTreeOf(round: Round): DraftTree {
  let tree = draftTrees.get(round);
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
    draftTrees.set(round, tree);
  }
  return tree;
}

export const childrenOf = (round: Round): Children => draftTreeOf(round).children;

/** Whether any token has siblings. A chain has none. */
export const isTree = (round: Round): boolean => draftTreeOf(round).isTree;

/** Null in a chain, where no token has siblings. */
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
 * Whether the token's drafter differs from that of the token it is drawn next to. That is the sibling above it: the
 * accepted or pending one on the spine, then the others in order; or else its parent.
 */
export function changesSource(round: Round, token: Token): boolean {
  if (!token.draft) return false;
  const { children, byNode } = draftTreeOf(round);
  const siblings = children.get(token.parent) ?? [];
  const onSpine =
    siblings.find(({ status }) => status === "accepted") ??
    siblings.find(({ status }) => status === "pending");
  const below = siblings.filter((other) => other !== onSpine);
  const at = below.findIndex(({ key }) => key === token.key);
  const above = at < 0 ? undefined : (below[at - 1] ?? onSpine);
  const neighbour = above ?? (token.parent === null ? undefined : byNode.get(token.parent));
  return neighbour?.draft?.source !== token.draft.source;
}

/** The drafted tokens from the last committed token to this one, itself included if it was drafted. */
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

/** The drafted tokens that one token attends to in the pass that verifies the draft. */
export interface Attention {
  readonly round: number;
  readonly token: Token;
  readonly path: readonly Token[];
  readonly keys: ReadonlySet<string>;
  /** The number of drafted tokens that it does not attend to. */
  readonly hidden: number;
}

/** Null in a chain, where each token attends to every token before it. */
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
