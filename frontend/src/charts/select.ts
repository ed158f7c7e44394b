// What the charts show, as pure functions of a run. Unknown stays null.
import type { Baseline, Metrics, MetricValues } from "../protocol/generated";
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";

export type TimePart = "draft" | "verify" | "network" | "evidence" | "other";

/** The five parts of a round's time; they add up to it. */
export function timeParts(metrics: Metrics): { part: TimePart; ms: number }[] {
  return [
    { part: "draft", ms: metrics.draft_ms },
    { part: "verify", ms: metrics.verify_ms },
    { part: "network", ms: metrics.network_ms },
    { part: "evidence", ms: metrics.evidence_ms },
    { part: "other", ms: metrics.other_ms },
  ];
}

/** Less than this is shown as 0.0 ms: the time it takes to find that there is nothing to draft ahead. */
const LEAST_AHEAD_MS = 0.05;

/** Drafting of the next round while this one was verified elsewhere; no part of the round's time. */
export function aheadMs({ round_usage, hidden_draft_ms }: Metrics): number {
  const elsewhere = round_usage !== null;
  return elsewhere && hidden_draft_ms >= LEAST_AHEAD_MS ? hidden_draft_ms : 0;
}

/** The figures to show: of the whole run once it is done, of the last rounds while it goes on. */
export function valuesOf(run: Run): MetricValues | null {
  return run.done?.metrics ?? run.latest ?? null;
}

/** A target elsewhere can decode alone in two ways, and speculation can be held against either. */
export type Against = "streaming" | "per_call";

/** What speculation is held against. `name`: as a legend has it. `words`: as a sentence goes on with it. */
export interface Plain {
  readonly name: string;
  readonly words: string;
  readonly help: string;
  readonly tps: number | null;
  readonly speedup: number | null;
  readonly baseline: Baseline | null;
}

export function plainOf(run: Run, against: Against): Plain {
  const { started } = run;
  const values = valuesOf(run);
  const usual = {
    tps: values?.baseline_tps ?? null,
    speedup: values?.speedup ?? null,
    baseline: started?.baseline ?? null,
  };
  if (!started?.remote) {
    const help = "The same target decoding alone on this machine, measured.";
    return { name: "plain", words: "plain", help, ...usual };
  }
  if (against === "streaming") {
    const help = "The same target decoding alone, its tokens sent in one streaming call; measured.";
    return { name: "streaming", words: "streaming", help, ...usual };
  }
  return {
    name: "per call",
    words: "with one call per token",
    help: "The same target decoding alone, one call for every token; measured.",
    tps: values?.per_call_tps ?? null,
    speedup: values?.per_call_speedup ?? null,
    baseline: started.per_call_baseline,
  };
}

export type Speedup =
  | {
      readonly kind: "figure";
      readonly speedup: number;
      readonly tps: number;
      readonly plainTps: number;
      readonly words: string;
      readonly basis: string;
    }
  | { readonly kind: "none"; readonly tps: number | null; readonly reason: string };

/** Whether a speedup may be claimed at all. */
export const isVerified = (run: Run): boolean => exactnessOf(run)?.label !== "unverified";

export function speedupOf(run: Run, against: Against = "streaming"): Speedup {
  const values = valuesOf(run);
  const tps = values?.effective_tps ?? null;
  const none = (reason: string): Speedup => ({ kind: "none", tps, reason });
  if (!values) return none("nothing has been decoded yet");
  if (!isVerified(run)) return none("not claimed: the output could not be verified as the target's");
  if (values.drafted === 0 && values.rounds > 0) return none(plainReason(run));
  const plain = plainOf(run, against);
  if (plain.tps === null) return none(unmeasured(run, against));
  if (plain.speedup === null || tps === null) return none("no round is over yet");
  return {
    kind: "figure",
    speedup: plain.speedup,
    tps,
    plainTps: plain.tps,
    words: plain.words,
    basis: basisOf(run, plain.baseline, plain.tps),
  };
}

function unmeasured(run: Run, against: Against): string {
  const remote = run.started?.remote;
  if (!remote) return "the target alone has not been measured yet";
  const what = against === "streaming" ? "one streaming call" : "one call per token";
  if (remote.warning !== null) return `${what} was not measured, to spare what the endpoint allows`;
  return `${what} has not been measured yet`;
}

function plainReason(run: Run): string {
  const depth = run.latest?.k ?? run.started?.k;
  const way = run.started?.remote ? ", one call per token" : "";
  return depth === 0
    ? `a plain run: the target decodes alone${way}`
    : "nothing was drafted, so nothing could be gained";
}

/** How and when the plain speed was measured. */
function basisOf(run: Run, baseline: Baseline | null, plainTps: number): string {
  if (!baseline || Math.abs(baseline.tps - plainTps) > 1e-6 * plainTps) return "measured";
  if (baseline.kind === "plain_run") return `measured (full plain run, ${baseline.tokens} tokens)`;
  const start = baseline.kind === "startup" ? " at start" : "";
  return `measured (${baseline.tokens} tokens${start}, ${ageText(ageAtLatest(run, baseline))} earlier)`;
}

function ageAtLatest(run: Run, baseline: Baseline): number {
  const last = run.done ?? run.latest ?? run.started;
  return baseline.age_s + Math.max(0, (last?.t_ms ?? 0) - (run.started?.t_ms ?? 0)) / 1000;
}

export function ageText(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

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

/** `ahead` is no part of `total`. */
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
  readonly notKept: number;
  readonly bonus: number;
  readonly resampled: number;
  readonly plain: number;
  readonly tokens: number;
}

export function efficiencyOf(values: MetricValues): Efficiency {
  const { drafted, accepted, bonus, resampled, plain, tokens } = values;
  return { drafted, accepted, notKept: drafted - accepted, bonus, resampled, plain, tokens };
}

export interface PositionRate {
  readonly position: number;
  /** Rounds that accepted this position, of all drafting rounds. */
  readonly rate: number;
  /** Accepted of those that were tested here. */
  readonly conditional: number | null;
}

export function positionRates(values: MetricValues): PositionRate[] {
  return values.per_position_acceptance_rate.map((rate, index) => ({
    position: index + 1,
    rate,
    conditional: values.conditional_acceptance_rate[index] ?? null,
  }));
}
