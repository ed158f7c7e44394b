// The arithmetic of a verdict: tokens of a round ÷ time of a round in plain passes = speedup.
import type { Metrics, PassTime } from "../protocol/generated";
import type { Run } from "./model";
import { currentSettings } from "./selectors";
import { type TimePart, timeParts } from "./times";

/** A remote target has two baselines: one streaming call, or one call for each token. */
export type BaselineKind = "streaming" | "per_call";

/** The time of a part of a round, in passes of plain decoding. */
export interface PartCost {
  readonly part: TimePart;
  readonly passes: number;
}

export interface Verdict {
  /** Mean tokens of a round. A round that costs as many plain passes breaks even. */
  readonly tokens: number;
  /** Mean time of a round in plain passes; its parts add up to it. */
  readonly passes: number;
  readonly parts: readonly PartCost[];
  /** tokens / passes. */
  readonly speedup: number;
}

/** The rounds that the figures are about: all of a finished run, or the last ones. */
export function judgedRounds(run: Run): Metrics[] {
  const rounds = run.rounds.flatMap(({ metrics }) => (metrics ? [metrics] : []));
  return run.done ? rounds : rounds.slice(-(run.latest?.window_rounds ?? rounds.length));
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

/** `plainTps`: tokens per second of plain decoding. Null before the first round. */
export function verdictOf(run: Run, plainTps: number): Verdict | null {
  const rounds = judgedRounds(run);
  const totalMs = sum(rounds, ({ round_ms }) => round_ms);
  if (rounds.length === 0 || totalMs <= 0) return null;
  const passesOf = (ms: number) => (ms * plainTps) / 1000 / rounds.length;
  const parts = timeParts(rounds[0] as Metrics).map(({ part }) => ({
    part,
    passes: passesOf(sum(rounds, (round) => timeParts(round).find((one) => one.part === part)?.ms ?? 0)),
  }));
  const tokens = sum(rounds, ({ round_emitted }) => round_emitted) / rounds.length;
  const passes = passesOf(totalMs);
  return { tokens, passes, parts, speedup: tokens / passes };
}

/** Another depth, with the speedup that it would have had. */
export interface Lever {
  readonly k: number;
  readonly speedup: number;
}

/** Drafters that compute all tokens of a draft in one pass: a shorter draft costs the same. */
const AT_ONCE: ReadonlySet<string> = new Set(["dflash", "medusa", "p-eagle"]);

/**
 * The same rounds with drafts cut after `k` tokens: a cut draft accepts at most `k` tokens, costs its share of the draft's
 * time, or all of it if one pass computes the draft (`atOnce`), and its pass takes the share that the measured pass times
 * give. Null where they have no entry.
 */
function cutTo(
  k: number,
  rounds: readonly Metrics[],
  times: readonly PassTime[],
  plainTps: number,
  atOnce: boolean,
): Lever | null {
  const passMs = new Map(times.map(({ tokens, ms }) => [tokens, ms]));
  let tokens = 0;
  let ms = 0;
  for (const round of rounds) {
    const kept = Math.min(k, round.round_drafted);
    const before = passMs.get(round.round_drafted + 1);
    const after = passMs.get(kept + 1);
    if (kept < round.round_drafted && (before === undefined || after === undefined)) return null;
    const cut = kept === round.round_drafted ? 1 : (after ?? 0) / (before ?? 1);
    const lost = Math.max(0, round.round_accepted - kept);
    const share = atOnce || round.round_drafted === 0 ? 1 : kept / round.round_drafted;
    tokens += round.round_emitted - lost;
    ms += round.round_ms - round.draft_ms * (1 - share) - round.verify_ms * (1 - cut);
  }
  return ms > 0 ? { k, speedup: (1000 * tokens) / ms / plainTps } : null;
}

/** The depths below the run's own, computed. Empty where a policy chooses the depth, for a tree, and after a change. */
export function levers(run: Run, plainTps: number): Lever[] {
  const settings = currentSettings(run);
  if (settings?.policy !== "fixed" || settings.nodes > settings.k || run.updates.length > 0) return [];
  const rounds = judgedRounds(run);
  const depths = Array.from({ length: Math.max(0, settings.k - 1) }, (_, at) => at + 1);
  const times = run.started?.pass_times ?? [];
  return depths.flatMap((k) => cutTo(k, rounds, times, plainTps, AT_ONCE.has(settings.drafter)) ?? []);
}

/** The depth that would have been fastest; null if none is known. */
export const bestLever = (run: Run, plainTps: number): Lever | null =>
  levers(run, plainTps).toSorted((a, b) => b.speedup - a.speedup)[0] ?? null;
