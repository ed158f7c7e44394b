// The costs of a finished run, in plain passes: what the formula of the speedup needs, as measured.
import type { Run } from "./model";
import { currentSettings } from "./selectors";
import { unlikePasses } from "./unlike";
import { verdictOf } from "./verdict";

export interface RunCosts {
  readonly k: number;
  /** Accepted drafts / tested drafts. */
  readonly acceptance: number;
  /** The time of one drafted token. */
  readonly draft: number;
  /** (verification pass − the pass of a plain round) / k. */
  readonly growth: number;
  /** Verification pass / the pass of a plain round. */
  readonly passRatio: number;
  /** Time of a round apart from draft and verification, less that of a plain round. */
  readonly other: number;
  readonly tokens: number;
  readonly speedup: number;
  readonly plainMs: number;
}

/**
 * The pass of a plain round, as a share of that round: the verification of this run by the measured ratio of the two
 * passes. 1 where the ratio was not measured: then all of a plain round counts as its pass.
 */
function plainPass(run: Run, k: number, verify: number): number {
  const times = run.started?.pass_times ?? [];
  const ms = (rows: number) => times.find(({ tokens }) => tokens === rows)?.ms ?? 0;
  return ms(1) > 0 && ms(k + 1) > 0 ? Math.min(1, (verify * ms(1)) / ms(k + 1)) : 1;
}

/** Null for a run that is not finished, drafted nothing, has a remote target, or has no baseline of like passes. */
export function costsOf(run: Run): RunCosts | null {
  const plainTps = run.done?.metrics.baseline_tps ?? null;
  const k = currentSettings(run)?.k ?? 0;
  if (!run.done || plainTps === null || k === 0 || run.started?.remote) return null;
  if (unlikePasses(run, plainTps)) return null;
  const verdict = verdictOf(run, plainTps);
  const { accepted, resampled } = run.done.metrics;
  if (!verdict || accepted + resampled === 0) return null;
  const passes = (name: string) => verdict.parts.find(({ part }) => part === name)?.passes ?? 0;
  const draft = passes("draft");
  const verify = passes("verify");
  const single = plainPass(run, k, verify);
  return {
    k,
    acceptance: accepted / (accepted + resampled),
    draft: draft / k,
    growth: Math.max(0, (verify - single) / k),
    passRatio: verify / single,
    other: verdict.passes - draft - verify - (1 - single),
    tokens: verdict.tokens,
    speedup: verdict.speedup,
    plainMs: 1000 / plainTps,
  };
}
