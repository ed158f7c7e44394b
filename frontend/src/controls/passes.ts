// What a pass of the target over a draft costs on this machine, and what a round has to give to be worth it.

import type { Form } from "../app/form";
import type { PassTime } from "../protocol/generated";
import type { Run } from "../run/model";
import { changedAtRound, currentSettings } from "../run/selectors";
import { fixed } from "../words/format";

/** Tokens of a round's draft, as far as the form says. */
export const draftedBy = ({ numbers }: Form): number => Math.max(numbers.k, numbers.nodes);

/** How many single passes a pass over a draft and the token before it costs; null unless both were measured. */
export function passRatio(times: readonly PassTime[], drafted: number): number | null {
  const single = times.find((time) => time.tokens === 1);
  const batch = times.find((time) => time.tokens === drafted + 1);
  return single && batch && single.ms > 0 ? batch.ms / single.ms : null;
}

/** Drafters that are trained: how good one is shows in its acceptance, whatever a pass costs where it runs. */
const TRAINED: ReadonlySet<string | null> = new Set(["medusa", "eagle"]);

/** Tokens that each drafting round of a run gave, where it ran as the form says from its beginning. */
function given(form: Form, run: Run | null): number | null {
  const current = run && currentSettings(run);
  if (!current || current.drafter !== form.drafter) return null;
  if (current.k !== form.numbers.k || current.nodes !== form.numbers.nodes) return null;
  if (changedAtRound(run, ({ drafter, k, nodes }) => `${drafter} ${k} ${nodes}`) !== null) return null;
  return run.done?.metrics.mean_acceptance_length ?? run.latest?.mean_acceptance_length ?? null;
}

/**
 * Where a trained drafter cannot gain on this machine, or did not in this run: by how much a pass over its draft costs
 * more than the tokens that came of it. null where that is not so, or not known.
 * run: of this machine; null for a recording.
 */
export function acceptanceNote(times: readonly PassTime[], form: Form, run: Run | null): string | null {
  const drafted = draftedBy(form);
  const ratio = passRatio(times, drafted);
  if (ratio === null || !TRAINED.has(form.drafter)) return null;
  const most = form.numbers.k + 1;
  const tokens = given(form, run);
  const values = run?.done?.metrics ?? run?.latest;
  // Pass times are measured apart from the run: where it gained all the same, the run is right.
  const gained = tokens !== null && (values?.speedup ?? 0) > 1;
  const reached = tokens ?? most;
  if (gained || ratio <= reached) return null;
  const cost = `A pass over ${drafted + 1} tokens costs ${fixed(ratio)} single passes here: a round has to give more tokens than that to gain`;
  const found = tokens === null ? `and can give ${most}` : `and gave ${fixed(tokens)}`;
  return `${cost}, ${found}. Acceptance is the measure of this drafter on this machine, not speed.`;
}
