// The speedup of a run, and the baseline it is relative to. Unknown stays null.
import type { Baseline, MetricValues } from "../protocol/generated";
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";

/** The figures to show: of the whole run once it is done, of the last rounds while it goes on. */
export function valuesOf(run: Run): MetricValues | null {
  return run.done?.metrics ?? run.latest ?? null;
}

/** A target elsewhere can decode alone in two ways, and speculation can be held against either. */
export type BaselineKind = "streaming" | "per_call";

/** What speculation is held against. `name`: as a legend has it. `words`: as a sentence goes on with it. */
export interface BaselineFigures {
  readonly name: string;
  readonly words: string;
  readonly help: string;
  readonly tps: number | null;
  readonly speedup: number | null;
  readonly baseline: Baseline | null;
}

export function baselineOf(run: Run, baselineKind: BaselineKind): BaselineFigures {
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
  if (baselineKind === "streaming") {
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
      readonly baselineTps: number;
      readonly words: string;
      readonly basis: string;
    }
  | { readonly kind: "none"; readonly tps: number | null; readonly reason: string };

/** Whether a speedup may be claimed at all. */
export const isVerified = (run: Run): boolean => exactnessOf(run)?.label !== "unverified";

export function speedupOf(run: Run, baselineKind: BaselineKind = "streaming"): Speedup {
  const values = valuesOf(run);
  const tps = values?.effective_tps ?? null;
  const none = (reason: string): Speedup => ({ kind: "none", tps, reason });
  if (!values) return none("nothing has been decoded yet");
  if (!isVerified(run)) return none("not claimed: the output could not be verified as the target's");
  if (values.drafted === 0 && values.rounds > 0) return none(plainReason(run));
  const plain = baselineOf(run, baselineKind);
  if (plain.tps === null) return none(unmeasured(run, baselineKind));
  if (plain.speedup === null || tps === null) return none("no round is over yet");
  return {
    kind: "figure",
    speedup: plain.speedup,
    tps,
    baselineTps: plain.tps,
    words: plain.words,
    basis: basisOf(run, plain.baseline, plain.tps),
  };
}

function unmeasured(run: Run, baselineKind: BaselineKind): string {
  const remote = run.started?.remote;
  if (!remote) return "the target alone has not been measured yet";
  const what = baselineKind === "streaming" ? "one streaming call" : "one call per token";
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
function basisOf(run: Run, baseline: Baseline | null, baselineTps: number): string {
  if (!baseline || Math.abs(baseline.tps - baselineTps) > 1e-6 * baselineTps) return "measured";
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
