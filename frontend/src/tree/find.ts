// Where tokens are in a layout. Searched when it is asked for: a running layout asks for at most three tokens.
import type { Round } from "../run/model";
import type { Layout, Row } from "./geometry";

const firstRound = ({ segments, bars }: Row): number => (segments[0] ?? bars[0])?.round.index ?? Number.NaN;
const lastRound = ({ segments, bars }: Row): number =>
  (segments.at(-1) ?? bars.at(-1))?.round.index ?? Number.NaN;

const hasToken = ({ drafted, emitted }: Round, key: string): boolean =>
  drafted.some((token) => token.key === key) || emitted.some((token) => token.key === key);

const holds = (row: Row, round: number, key: string): boolean =>
  row.nodes.some((node) => node.token.key === key) ||
  row.bars.some((bar) => bar.round.index === round && hasToken(bar.round, key));

/** The index of the first item that passes; items that pass follow all others. The length if none does. */
export function firstWith<T>(items: readonly T[], passes: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (passes(items[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The row of a token, by its key; null if it is not in the layout. */
export function rowOf({ rows }: Layout, key: string | null): number | null {
  if (key === null) return null;
  const round = Number.parseInt(key, 10);
  for (let at = firstWith(rows, (row) => lastRound(row) >= round); at < rows.length; at += 1) {
    const row = rows[at] as Row;
    if (firstRound(row) > round) return null;
    if (holds(row, round, key)) return at;
  }
  return null;
}

/** The keys of all tokens along the spine. */
export const spineOf = ({ rows }: Layout): string[] =>
  rows.flatMap(({ nodes, bars }) => [
    ...nodes.filter(({ lane }) => lane === 0).map(({ token }) => token.key),
    ...bars.flatMap(({ round }) => round.emitted.map(({ key }) => key)),
  ]);
