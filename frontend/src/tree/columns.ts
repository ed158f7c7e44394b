// A round seen as columns: what stands on the committed path, and what hangs below each place of it.
import { type Children, childrenOf } from "../run/branches";
import type { Round, Token } from "../run/model";

export interface Column {
  /** Null where the token that replaces a rejection is not known yet. */
  readonly token: Token | null;
  /** Drafted siblings that did not (or not yet) make it onto the path. */
  readonly roots: readonly Token[];
}

/** What was emitted, continued through pending nodes as long as the round is open. */
function spineOf(round: Round, children: Children): Token[] {
  const spine = [...round.emitted];
  const last = spine.at(-1);
  if (round.metrics !== null || (last && last.node === null)) return spine;
  let parent = last ? last.node : null;
  for (;;) {
    const siblings: readonly Token[] = children.get(parent) ?? [];
    const next: Token | undefined = siblings.find((token) => token.status === "pending");
    if (!next) return spine;
    spine.push(next);
    parent = next.node;
  }
}

/** Rounds never change in place, so each is read once. */
const read = new WeakMap<Round, readonly Column[]>();

export function columnsOf(round: Round): readonly Column[] {
  let columns = read.get(round);
  if (!columns) {
    columns = buildColumns(round, childrenOf(round));
    read.set(round, columns);
  }
  return columns;
}

function buildColumns(round: Round, children: Children): Column[] {
  const spine = spineOf(round, children);
  const onSpine = new Set(spine.map((token) => token.key));
  const rootsUnder = (parent: number | null) =>
    (children.get(parent) ?? []).filter((token) => !onSpine.has(token.key));
  const columns: Column[] = spine.map((token, index) => ({
    token,
    roots: rootsUnder(index === 0 ? null : (spine[index - 1]?.node ?? null)),
  }));
  const last = spine.at(-1);
  if (last?.node === null) return columns;
  const waiting = rootsUnder(last ? last.node : null);
  if (waiting.length > 0) columns.push({ token: null, roots: waiting });
  return columns;
}
