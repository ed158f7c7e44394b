// Values that views derive from a run.
import type { RemoteInfo, Updated } from "../protocol/generated";
import { childrenOf } from "./branches";
import type { Round, Run, Token } from "./model";
import { failedTest } from "./token";

export const emittedCount = (run: Run): number =>
  run.rounds.reduce((sum, round) => sum + round.emitted.length, 0);

export const visibleText = (run: Run): string =>
  run.rounds.map((round) => round.emitted.map((token) => token.text).join("")).join("") +
  (run.done?.text_tail ?? "");

export function roundAt(run: Run, index: number): Round | null {
  const direct = run.rounds[index];
  if (direct?.index === index) return direct;
  return run.rounds.find((round) => round.index === index) ?? null;
}

export function tokenByKey(run: Run, key: string | null): Token | null {
  if (key === null) return null;
  const round = roundAt(run, Number.parseInt(key, 10));
  if (!round) return null;
  const same = (token: Token) => token.key === key;
  return round.drafted.find(same) ?? round.emitted.find(same) ?? null;
}

/** The drafted tokens that failed their test at the position of this emitted one, in the order of the tests. */
export function failedAlternatives(round: Round, emitted: Token): Token[] {
  return round.drafted.filter((other) => other.parent === emitted.parent && failedTest(other));
}

/** The drafted tokens that this resampled token replaces. */
export function replacedBy(run: Run, token: Token): Token[] {
  const round = token.status === "resampled" ? roundAt(run, token.round) : null;
  return round ? failedAlternatives(round, token) : [];
}

/** The token that was emitted instead of this one; null unless this one failed its test. */
export function replacementOf(run: Run, token: Token): Token | null {
  if (!failedTest(token)) return null;
  return roundAt(run, token.round)?.emitted.find((other) => other.parent === token.parent) ?? null;
}

/** The sibling to show while none is accepted: the next to be tested, or else the last that was tested. */
const undecidedChild = (siblings: readonly Token[]): Token | undefined =>
  siblings.find(({ status }) => status === "pending") ??
  siblings.findLast(failedTest) ??
  siblings.find(({ status }) => status === "discarded");

/** One path of drafted tokens after the committed text that are not accepted yet; empty after the round. */
export function undecidedPath(run: Run): readonly Token[] {
  const round = run.rounds.at(-1);
  if (!round || round.metrics || run.done) return [];
  const path: Token[] = [];
  const children = childrenOf(round);
  const last = round.emitted.at(-1);
  if (last?.node === null) return [];
  for (let next = undecidedChild(children.get(last?.node ?? null) ?? []); next; ) {
    path.push(next);
    next = undecidedChild(children.get(next.node) ?? []);
  }
  return path;
}

export type RoundEnd = "rejection" | "bonus" | "plain" | "open";

/** One round in the scrubber. `share` = accepted / drafted; null if nothing was drafted. */
export interface ScrubberCell {
  readonly index: number;
  readonly accepted: number;
  readonly drafted: number;
  readonly share: number | null;
  readonly end: RoundEnd;
}

function roundEnd(round: Round): RoundEnd {
  const last = round.emitted.at(-1);
  if (last?.status === "bonus") return "bonus";
  if (last?.status === "plain") return "plain";
  // A sibling of an accepted token may be rejected, so the end of the accepted path decides.
  const stopped = round.drafted.some((token) => failedTest(token) && token.parent === (last?.node ?? null));
  return last?.status === "resampled" || stopped ? "rejection" : "open";
}

/** Round objects never change, so each has one cell. */
const cells = new WeakMap<Round, ScrubberCell>();

export function scrubberCell(round: Round): ScrubberCell {
  let cell = cells.get(round);
  if (!cell) {
    cell = cellOf(round);
    cells.set(round, cell);
  }
  return cell;
}

function cellOf(round: Round): ScrubberCell {
  const accepted = round.emitted.filter((token) => token.status === "accepted").length;
  const drafted = round.metrics?.round_drafted ?? round.drafted.length;
  return {
    index: round.index,
    accepted,
    drafted,
    share: drafted > 0 ? accepted / drafted : null,
    end: roundEnd(round),
  };
}

export const scrubberCells = (run: Run): ScrubberCell[] => run.rounds.map(scrubberCell);

/** The remote target with its current mode, which an update can change. */
export const remoteOf = (run: Pick<Run, "started" | "updates">): RemoteInfo | null =>
  run.updates.at(-1)?.remote ?? run.started?.remote ?? null;

/** Settings that may change during a run. */
type Changing = Pick<Updated, "k" | "nodes" | "drafter" | "sampling">;

export interface CurrentSettings {
  readonly policy: string;
  readonly k: number;
  readonly nodes: number;
  readonly drafter: string;
  readonly temperature: number;
}

/** The settings of the last update, or those of the start. */
export function currentSettings(run: Pick<Run, "started" | "updates">): CurrentSettings | null {
  if (!run.started) return null;
  const source: Changing = run.updates.at(-1) ?? run.started;
  const { k, nodes, drafter, sampling } = source;
  return { policy: run.started.policy, k, nodes, drafter, temperature: sampling.temperature };
}

/**
 * The drafters that a run may use, the usual one first: under `auto` those that the last plan weighed. Empty if the
 * target decodes alone.
 */
export function draftersOf({
  started,
  updates,
  latest,
}: Pick<Run, "started" | "updates" | "latest">): string[] {
  const current = currentSettings({ started, updates });
  if (!current || current.k === 0) return [];
  const plan = started?.policy === "auto" ? latest?.plan : null;
  if (!plan) return [current.drafter];
  const weighed = [plan.chosen, ...plan.others].map(({ drafter }) => drafter);
  const isUsual = (name: string) => Number(name === started?.drafter);
  return [...new Set(weighed)].toSorted((a, b) => isUsual(b) - isUsual(a) || (a < b ? -1 : 1));
}

export interface Change<T> {
  /** The first round with the current value. */
  readonly round: number;
  readonly before: T;
}

/** The last change of a value during a run; null if the run began with the current value. */
export function lastChange<T>(
  { started, updates }: Pick<Run, "started" | "updates">,
  value: (at: Changing) => T,
): Change<T> | null {
  if (!started) return null;
  let current = value(started);
  let change: Change<T> | null = null;
  for (const update of updates) {
    const next = value(update);
    if (next !== current) change = { round: update.round, before: current };
    current = next;
  }
  return change;
}

/** The first round with the current value; null if the run began with it. */
export const changedAtRound = (run: Run, value: (at: Changing) => unknown): number | null =>
  lastChange(run, value)?.round ?? null;

/** The rounds from which on other settings hold. */
export const changedRounds = ({ updates }: Pick<Run, "updates">): number[] => [
  ...new Set(updates.map(({ round }) => round)),
];
