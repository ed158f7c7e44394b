// The speedup of a run, and the baseline that it is relative to. Unknown values are null.
import type { Baseline, MetricValues } from "../protocol/generated";
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";
import type { BaselineKind } from "../run/verdict";

/** The figures of the whole run after its end, or of the last rounds during it. */
export function valuesOf(run: Run): MetricValues | null {
  return run.done?.metrics ?? run.latest ?? null;
}

/** A baseline and the figures relative to it. `name` is for a legend, `words` for a sentence after the speed. */
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
  const main = {
    tps: values?.baseline_tps ?? null,
    speedup: values?.speedup ?? null,
    baseline: started?.baseline ?? null,
  };
  if (!started?.remote) {
    const help = "Plain decoding: the same target alone on this machine, measured.";
    return { name: "plain", words: "plain", help, ...main };
  }
  if (baselineKind === "streaming") {
    const help = "Plain decoding: the same target alone, in one streaming call, measured.";
    return { name: "streaming", words: "streaming", help, ...main };
  }
  return {
    name: "per call",
    words: "with one call per token",
    help: "Plain decoding: the same target alone, with one call for each token, measured.",
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

/** Whether a speedup may be claimed. */
export const isVerified = (run: Run): boolean => exactnessOf(run)?.label !== "unverified";

export function speedupOf(run: Run, baselineKind: BaselineKind = "streaming"): Speedup {
  const values = valuesOf(run);
  const tps = values?.effective_tps ?? null;
  const none = (reason: string): Speedup => ({ kind: "none", tps, reason });
  if (!values) return none("nothing has been decoded yet");
  if (!isVerified(run)) return none("not claimed: the output could not be verified as the target's");
  if (values.drafted === 0 && values.rounds > 0) return none(plainReason(run));
  const base = baselineOf(run, baselineKind);
  if (base.tps === null) return none(reasonUnmeasured(run, baselineKind));
  if (base.speedup === null || tps === null) return none("no round has finished yet");
  return {
    kind: "figure",
    speedup: base.speedup,
    tps,
    baselineTps: base.tps,
    words: base.words,
    basis: basisOf(run, base.baseline, base.tps),
  };
}

function reasonUnmeasured(run: Run, baselineKind: BaselineKind): string {
  const remote = run.started?.remote;
  if (!remote) return "the target alone has not been measured yet";
  const what = baselineKind === "streaming" ? "one streaming call" : "one call per token";
  if (remote.warning !== null) return `${what} was not measured, because the endpoint allows few calls`;
  return `${what} has not been measured yet`;
}

function plainReason(run: Run): string {
  const depth = run.latest?.k ?? run.started?.k;
  const chose = run.started?.policy === "auto" && run.started.k > 0;
  if (chose) return "auto has chosen plain decoding in every round so far, so there is no speedup";
  const calls = run.started?.remote ? ", one call per token" : "";
  return depth === 0
    ? `a plain run: the target decodes alone${calls}`
    : "no token was drafted, so there is no speedup";
}

/** How and when the baseline was measured. */
function basisOf(run: Run, baseline: Baseline | null, baselineTps: number): string {
  if (!baseline || Math.abs(baseline.tps - baselineTps) > 1e-6 * baselineTps) return "measured";
  if (baseline.age_s === 0) return `measured (full plain run of this prompt, ${baseline.tokens} tokens)`;
  const age = `${ageText(ageAtLatest(run, baseline))} earlier`;
  if (baseline.kind === "plain_run") return `measured (full plain run, ${baseline.tokens} tokens, ${age})`;
  const start = baseline.kind === "startup" ? " at start" : "";
  return `measured (${baseline.tokens} tokens${start}, ${age})`;
}

function ageAtLatest(run: Run, baseline: Baseline): number {
  const last = run.done ?? run.latest ?? run.started;
  return baseline.age_s + Math.max(0, (last?.t_ms ?? 0) - (run.started?.t_ms ?? 0)) / 1000;
}

/** 40 → "40 s", 300 → "5 min" */
export function ageText(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
