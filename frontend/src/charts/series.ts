// The data of the charts, as functions of a run. Unknown values are null.
import type { Metrics, MetricValues } from "../protocol/generated";
import type { Run } from "../run/model";
import { aheadMs, type TimePart } from "../run/times";

/** One entry per finished round. */
function finished(run: Run): Metrics[] {
  return run.rounds.flatMap((round) => (round.metrics ? [round.metrics] : []));
}

export interface AcceptancePoint {
  readonly round: number;
  readonly rate: number | null;
}

export function acceptanceHistory(run: Run): AcceptancePoint[] {
  return finished(run).map((metrics) => ({
    round: metrics.round + 1,
    rate: metrics.acceptance_rate,
  }));
}

export type Band = "low" | "mid" | "high";

export function bandOf(rate: number): Band {
  return rate < 0.5 ? "low" : rate < 0.75 ? "mid" : "high";
}

export interface SpeedPoint {
  readonly round: number;
  readonly perRound: number | null;
  readonly running: number | null;
}

export function speedSeries(run: Run): SpeedPoint[] {
  return finished(run).map((metrics) => ({
    round: metrics.round + 1,
    perRound: metrics.round_ms > 0 ? (1000 * metrics.round_emitted) / metrics.round_ms : null,
    running: metrics.effective_tps,
  }));
}

/** Times in ms. `ahead` (drafting ahead) is not part of `total`. */
export type LatencyRow = {
  readonly round: number;
  readonly total: number;
  readonly ahead: number;
} & Readonly<Record<TimePart, number>>;

export function latencySeries(run: Run, last = 10): LatencyRow[] {
  return finished(run)
    .slice(-last)
    .map((metrics) => ({
      round: metrics.round + 1,
      total: metrics.round_ms,
      draft: metrics.draft_ms,
      verify: metrics.verify_ms,
      network: metrics.network_ms,
      evidence: metrics.evidence_ms,
      other: metrics.other_ms,
      ahead: aheadMs(metrics),
    }));
}

export interface Efficiency {
  readonly drafted: number;
  readonly accepted: number;
  readonly notAccepted: number;
  readonly bonus: number;
  readonly resampled: number;
  readonly plain: number;
  readonly tokens: number;
}

export function efficiencyOf(values: MetricValues): Efficiency {
  const { drafted, accepted, bonus, resampled, plain, tokens } = values;
  return { drafted, accepted, notAccepted: drafted - accepted, bonus, resampled, plain, tokens };
}

export interface PositionRate {
  readonly position: number;
  /** Rounds that accepted this position / drafting rounds. */
  readonly rate: number;
  /** Rounds that accepted this position / rounds that tested it. */
  readonly conditional: number | null;
}

export function positionRates(values: MetricValues): PositionRate[] {
  return values.per_position_acceptance_rate.map((rate, index) => ({
    position: index + 1,
    rate,
    conditional: values.conditional_acceptance_rate[index] ?? null,
  }));
}
