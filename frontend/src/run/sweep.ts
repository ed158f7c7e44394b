// A sweep over depths: the same prompt without drafts and with 1 to 8 drafted tokens, measured in turn.
import type { Run } from "./model";
import { isPlain, type Lane, type LaneSettings, laneOf } from "./race";

export const SWEPT_DEPTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;

/** Plain decoding first, because all others are compared with it. */
export const sweepLanes = (drafter: string): LaneSettings[] =>
  SWEPT_DEPTHS.map((k) => ({ policy: "fixed", drafter: k === 0 ? null : drafter, k }));

export interface SweepPoint {
  readonly k: number;
  readonly lane: Lane;
  /** Tokens per second / those of plain decoding: of the median run, and of the slowest and the fastest. */
  readonly speedup: number;
  readonly least: number;
  readonly most: number;
}

/** The lanes that have a run already. */
export const measuredLanes = (lanes: readonly LaneSettings[], runs: readonly (readonly Run[])[]): Lane[] =>
  lanes.flatMap((settings, at) => {
    const own = runs[at] ?? [];
    return own.length > 0 ? [laneOf(settings, own)] : [];
  });

/** One point per lane; empty before the plain run has ended. */
export function sweepPoints(lanes: readonly Lane[]): SweepPoint[] {
  const plain = lanes.find(({ settings }) => isPlain(settings));
  const plainTps = plain?.tps ?? 0;
  if (!plain || plainTps <= 0) return [];
  return lanes.flatMap((lane) => {
    if (lane.tps === null || lane.settings.k === null) return [];
    const at = (ms: number) => ((lane.tps ?? 0) * lane.ms) / ms / plainTps;
    return [
      {
        k: lane.settings.k,
        lane,
        speedup: lane.tps / plainTps,
        least: at(lane.mostMs),
        most: at(lane.leastMs),
      },
    ];
  });
}

/** The fastest point; null if none is. */
export const bestPoint = (points: readonly SweepPoint[]): SweepPoint | null =>
  points.toSorted((a, b) => b.speedup - a.speedup)[0] ?? null;

/** The formula holds for drafters that draft in nearly every round: the last rounds of a text may be too short. */
const NEARLY_ALL = 0.9;

export interface SweptCosts {
  /** Accepted drafts / tested drafts, of all runs. */
  readonly acceptance: number;
  /** Rounds with a draft / all rounds, of the runs with drafts. */
  readonly draftingShare: number;
  /** Mean time of a draft by its number of tokens. */
  readonly draftMs: ReadonlyMap<number, number>;
  /**
   * Time of a pass over so many tokens: the mean verification of the plain run, times the ratio of the pass to a single
   * one as the server measured them before. So a machine that is slower now is slower for all.
   */
  readonly passMs: ReadonlyMap<number, number>;
  /** Time of a plain round apart from its pass. It does not grow with the pass. */
  readonly otherMs: number;
}

type PlainCosts = Pick<SweptCosts, "passMs" | "otherMs">;

function plainCosts(lanes: readonly Lane[]): PlainCosts {
  const plain = lanes.find(({ settings }) => isPlain(settings));
  const rounds = plain?.run.rounds.flatMap(({ metrics }) => (metrics ? [metrics] : [])) ?? [];
  const times = lanes.at(-1)?.run.started?.pass_times ?? [];
  const single = times.find(({ tokens }) => tokens === 1)?.ms ?? 0;
  if (rounds.length === 0 || single <= 0) return { passMs: new Map(), otherMs: 0 };
  const roundMs = rounds.reduce((sum, { round_ms }) => sum + round_ms, 0) / rounds.length;
  const verifyMs = rounds.reduce((sum, { verify_ms }) => sum + verify_ms, 0) / rounds.length;
  const passMs = new Map(times.map(({ tokens, ms }) => [tokens, verifyMs * (ms / single)]));
  return { passMs, otherMs: Math.max(0, roundMs - verifyMs) };
}

/** What the theory needs, measured; null before a run with drafts has ended. */
export function sweptCosts(lanes: readonly Lane[]): SweptCosts | null {
  const drafting = lanes.filter(({ settings }) => !isPlain(settings));
  const totals = drafting.map(({ run }) => run.done?.metrics ?? null).filter((one) => one !== null);
  const accepted = totals.reduce((sum, values) => sum + values.accepted, 0);
  const tested = totals.reduce((sum, values) => sum + values.accepted + values.resampled, 0);
  if (tested === 0) return null;
  const drafted = drafting.flatMap(({ run }) => run.rounds.map(({ metrics }) => metrics?.round_drafted ?? 0));
  const draftingShare = drafted.filter((tokens) => tokens > 0).length / Math.max(1, drafted.length);
  const draftMs = new Map<number, number>();
  for (const { settings, run } of drafting) {
    const rounds = run.rounds.flatMap(({ metrics }) =>
      metrics?.round_drafted === settings.k ? [metrics] : [],
    );
    if (settings.k === null || rounds.length === 0) continue;
    draftMs.set(settings.k, rounds.reduce((sum, { draft_ms }) => sum + draft_ms, 0) / rounds.length);
  }
  return { acceptance: accepted / tested, draftingShare, draftMs, ...plainCosts(lanes) };
}

/** Whether the formula can be compared with these runs. */
export const fitsFormula = ({ draftingShare }: SweptCosts): boolean => draftingShare >= NEARLY_ALL;
