// The costs of a finished run, in plain passes: what the formula of the speedup needs, as measured.
import type { Run } from "./model";
import { currentSettings } from "./selectors";
import { verdictOf } from "./verdict";

export interface RunCosts {
  readonly k: number;
  /** Accepted drafts / tested drafts. */
  readonly acceptance: number;
  /** The time of one drafted token. */
  readonly draft: number;
  /** (verification pass − 1) / k. */
  readonly growth: number;
  /** Time of the rounds apart from draft and verification, per round. */
  readonly other: number;
  readonly tokens: number;
  readonly speedup: number;
  readonly plainMs: number;
}

/** Null for a run that is not finished, drafted nothing, has a remote target, or has no baseline. */
export function costsOf(run: Run): RunCosts | null {
  const plainTps = run.done?.metrics.baseline_tps ?? null;
  const k = currentSettings(run)?.k ?? 0;
  if (!run.done || plainTps === null || k === 0 || run.started?.remote) return null;
  const verdict = verdictOf(run, plainTps);
  const { accepted, resampled } = run.done.metrics;
  if (!verdict || accepted + resampled === 0) return null;
  const passes = (name: string) => verdict.parts.find(({ part }) => part === name)?.passes ?? 0;
  const draft = passes("draft");
  const verify = passes("verify");
  return {
    k,
    acceptance: accepted / (accepted + resampled),
    draft: draft / k,
    growth: Math.max(0, (verify - 1) / k),
    other: verdict.passes - draft - verify,
    tokens: verdict.tokens,
    speedup: verdict.speedup,
    plainMs: 1000 / plainTps,
  };
}
