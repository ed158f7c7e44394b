// The cost of a pass of the target over a draft, and the tokens that a round must emit to gain.

import type { Form } from "../app/form";
import type { PassTime } from "../protocol/generated";
import type { Run } from "../run/model";
import { changedAtRound, currentSettings } from "../run/selectors";
import { fixed } from "../words/format";

/** The largest number of tokens that a round drafts with these settings. */
export const draftedBy = ({ policy, numbers }: Form): number =>
  policy === "fixed" ? Math.max(numbers.k, numbers.nodes) : numbers.deepest;

/** Time of a pass over `drafted` + 1 tokens / time of a pass over one; null unless both were measured. */
export function passRatio(times: readonly PassTime[], drafted: number): number | null {
  const single = times.find((time) => time.tokens === 1);
  const batch = times.find((time) => time.tokens === drafted + 1);
  return single && batch && single.ms > 0 ? batch.ms / single.ms : null;
}

/** The cost of a round's pass, or that `auto` plans from the measured costs. */
export function passWords(times: readonly PassTime[], form: Form): string {
  if (form.policy === "auto") return "Measured times of passes over 1, 2, 3 … tokens, from which auto plans.";
  const tokens = draftedBy(form) + 1;
  const ratio = passRatio(times, tokens - 1);
  if (ratio === null) return `A pass over ${tokens} tokens has not been measured yet.`;
  return `A pass over ${tokens} tokens takes ${fixed(ratio, 1)} times as long as a pass over one, measured.`;
}

/** Trained drafters. Their acceptance does not depend on the cost of a pass on this machine. */
const TRAINED: ReadonlySet<string | null> = new Set([
  "medusa",
  "eagle",
  "eagle3",
  "p-eagle",
  "dflash",
  "mtp",
]);

/** Mean acceptance length of a run that had the settings of the form from its beginning; null for other runs. */
function acceptanceLength(form: Form, run: Run | null): number | null {
  const current = run && currentSettings(run);
  if (!current || run.started?.policy !== form.policy || current.drafter !== form.drafter) return null;
  if (current.k !== form.numbers.k || current.nodes !== form.numbers.nodes) return null;
  if (changedAtRound(run, ({ drafter, k, nodes }) => `${drafter} ${k} ${nodes}`) !== null) return null;
  return run.done?.metrics.mean_acceptance_length ?? run.latest?.mean_acceptance_length ?? null;
}

/**
 * For a trained drafter without gain: a pass over its draft costs more single passes than a round emits tokens. Null if
 * it gains, if the figures are unknown, or if a policy chooses the depth. `run` is a run of this machine, null for a
 * recording.
 */
export function acceptanceNote(times: readonly PassTime[], form: Form, run: Run | null): string | null {
  const drafted = draftedBy(form);
  const ratio = passRatio(times, drafted);
  if (ratio === null || form.policy !== "fixed" || !TRAINED.has(form.drafter)) return null;
  const most = form.numbers.k + 1;
  const tokens = acceptanceLength(form, run);
  const values = run?.done?.metrics ?? run?.latest;
  // Pass times are measured apart from the run. If the run gained nevertheless, the run is right.
  const gained = tokens !== null && (values?.speedup ?? 0) > 1;
  const emitted = tokens ?? most;
  if (gained || ratio <= emitted) return null;
  const cost = `A pass over ${drafted + 1} tokens costs ${fixed(ratio)} single passes here. To gain, a round must emit more tokens than that`;
  const found = tokens === null ? `but it can emit at most ${most}` : `but it emitted ${fixed(tokens)}`;
  return `${cost}, ${found}. On this machine acceptance is the measure of this drafter, not speed.`;
}
