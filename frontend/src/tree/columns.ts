// A round as columns: each has a token on the spine and the branches below it.
import { type Children, childrenOf } from "../run/branches";
import type { Round, Token } from "../run/model";

export interface Column {
  /** Null while the replacement of a rejected token is not known. */
  readonly token: Token | null;
  /** The first tokens of the branches: drafted siblings that are not on the spine. */
  readonly roots: readonly Token[];
}

/** The emitted tokens, then a path of pending ones while the round is open. */
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

/** Round objects never change, so each is divided once. */
const columnsByRound = new WeakMap<Round, readonly Column[]>();

export function columnsOf(round: Round): readonly Column[] {
  let columns = columnsByRound.get(round);
  if (!columns) {
    columns = buildColumns(round, childrenOf(round));
    columnsByRound.set(round, columns);
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
