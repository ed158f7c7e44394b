// A race: the same prompt under several settings, one run after the other, compared on one clock. The clock counts the time
// of the rounds, so the prompt, which a later run finds in the cache, is not part of it.
import type { Run, Token } from "./model";

export interface LaneSettings {
  readonly policy: "fixed" | "auto";
  /** Null leaves the drafter to the policy, and for plain decoding. */
  readonly drafter: string | null;
  /** Depth of `fixed`; 0 is plain decoding. Null under `auto`. */
  readonly k: number | null;
  /** One of the server's race targets; left out: the server's own. */
  readonly target?: string;
}

export const LEAST_LANES = 2;
export const MOST_LANES = 4;

export const isPlain = ({ policy, k }: LaneSettings): boolean => policy === "fixed" && k === 0;

/** One run of a race: which lane, and the number of its repetition. */
export interface Turn {
  readonly lane: number;
  readonly repeat: number;
}

/** Every lane once in each repetition. Each repetition begins with another lane, so that none always comes first. */
export function turnsOf(lanes: number, repeats: number): Turn[] {
  return Array.from({ length: lanes * repeats }, (_, at) => {
    const repeat = Math.floor(at / lanes);
    return { repeat, lane: (at + repeat) % lanes };
  });
}

/** The number of tokens after the time `ms` of the rounds. */
export interface Arrival {
  readonly ms: number;
  readonly tokens: number;
}

/** One arrival per round. */
export function arrivalsOf(run: Run): Arrival[] {
  let ms = 0;
  let tokens = 0;
  return run.rounds.flatMap(({ metrics, emitted }) => {
    if (!metrics) return [];
    ms += metrics.round_ms;
    tokens += emitted.length;
    return [{ ms, tokens }];
  });
}

/** The number of tokens that have arrived by a time. */
export const arrivedBy = (arrivals: readonly Arrival[], ms: number): number =>
  arrivals.findLast((arrival) => arrival.ms <= ms)?.tokens ?? 0;

/** The index of the first token that differs; null if the texts are equal. The end of a shorter text is a difference. */
export function firstDifference(a: readonly number[], b: readonly number[]): number | null {
  const most = Math.max(a.length, b.length);
  for (let at = 0; at < most; at += 1) if (a[at] !== b[at]) return at;
  return null;
}

/** The runs of one lane. All figures but the range are those of the run with the median time. */
export interface Lane {
  readonly settings: LaneSettings;
  readonly run: Run;
  readonly arrivals: readonly Arrival[];
  readonly tokens: readonly Token[];
  readonly ms: number;
  /** The times of all its runs, in the order of the repetitions. */
  readonly allMs: readonly number[];
  readonly leastMs: number;
  readonly mostMs: number;
  /** Tokens per second of the rounds; null without a round. */
  readonly tps: number | null;
  /** The time of loading its target, in all of its runs. No other time contains it. */
  readonly loadingS: number;
}

const lastMs = (arrivals: readonly Arrival[]): number => arrivals.at(-1)?.ms ?? 0;

/** `runs`: at least one, in the order of the repetitions. Of an even number the faster of the middle ones. */
export function laneOf(settings: LaneSettings, runs: readonly Run[]): Lane {
  const timed = runs.map((run) => ({ run, arrivals: arrivalsOf(run) }));
  const sorted = timed.toSorted((a, b) => lastMs(a.arrivals) - lastMs(b.arrivals));
  const median = sorted[(sorted.length - 1) >> 1];
  if (!median) throw new Error("A lane has at least one run.");
  const ms = lastMs(median.arrivals);
  const tokens = median.run.rounds.flatMap(({ emitted }) => emitted);
  const allMs = timed.map(({ arrivals }) => lastMs(arrivals));
  return {
    settings,
    ...median,
    tokens,
    ms,
    allMs,
    leastMs: Math.min(...allMs),
    mostMs: Math.max(...allMs),
    tps: ms > 0 ? (1000 * tokens.length) / ms : null,
    loadingS: runs.reduce((total, { loading }) => total + (loading?.elapsed_s ?? 0), 0),
  };
}

export interface Result {
  readonly lane: Lane;
  /** From 1; lanes with equal times share one. */
  readonly place: number;
  /** Lanes of other places whose ranges overlap with its own: the order of the two may be chance. */
  readonly overlaps: readonly number[];
  /** Tokens per second / those of the plain lane of its target; null without one, and for the plain lane itself. */
  readonly speedup: number | null;
  /** The first lane with the same target, whose text it is compared with. */
  readonly reference: number;
  /** The first token that differs from that lane's text; null if none does. */
  readonly difference: number | null;
}

const sameTarget = (a: Lane, b: Lane): boolean => a.settings.target === b.settings.target;

/** Whether the lanes have different targets. */
export const hasTargets = (lanes: readonly Lane[]): boolean =>
  lanes.some((lane) => lane.settings.target !== lanes[0]?.settings.target);

const overlap = (a: Lane, b: Lane): boolean => a.leastMs <= b.mostMs && b.leastMs <= a.mostMs;

const idsOf = ({ tokens }: Lane): number[] => tokens.map(({ tokenId }) => tokenId);

/** One result per lane, in the order of the lanes. */
export function resultsOf(lanes: readonly Lane[]): Result[] {
  return lanes.map((lane) => {
    const own = lanes.filter((other) => sameTarget(lane, other));
    const plain = own.find(({ settings }) => isPlain(settings));
    const first = own[0] ?? lane;
    const plainTps = lane === plain ? null : (plain?.tps ?? null);
    const repeated = lane.allMs.length > 1;
    return {
      lane,
      place: 1 + lanes.filter(({ ms }) => ms < lane.ms).length,
      overlaps: lanes.flatMap((other, at) =>
        repeated && other !== lane && overlap(lane, other) ? [at] : [],
      ),
      speedup: plainTps !== null && plainTps > 0 && lane.tps !== null ? lane.tps / plainTps : null,
      reference: lanes.indexOf(first),
      difference: firstDifference(idsOf(first), idsOf(lane)),
    };
  });
}

/** The time at which the last lane ends. */
export const endOf = (lanes: readonly Lane[]): number => Math.max(0, ...lanes.map(({ ms }) => ms));

/** The clock of the replay. */
export interface RaceClock {
  readonly ms: number;
  readonly playing: boolean;
}

/** A background tab gets no frames; the first one after that must not skip the race. */
const LONGEST_TICK_MS = 250;

export function tickClock({ ms, playing }: RaceClock, dtMs: number, endMs: number): RaceClock {
  if (!playing) return { ms, playing };
  const next = Math.min(endMs, ms + Math.min(dtMs, LONGEST_TICK_MS));
  return { ms: next, playing: next < endMs };
}
