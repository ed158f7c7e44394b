// Announces the end of a run to screen readers. Single tokens are not announced.

import { useApp } from "../../app/useStore";
import type { Done } from "../../protocol/generated";
import { exactnessOf } from "../../run/exactness";
import type { Run } from "../../run/model";
import { unlikePasses } from "../../run/unlike";
import { endWords } from "../../words/ends";
import { fixed, variation } from "../../words/format";

export function summary(run: Run): string {
  const { done, failure } = run;
  if (!done) return failure ? `Run failed: ${failure.message} ${failure.hint}` : "";
  return `Run ${endWords(run)}: ${done.total_tokens} tokens in ${done.total_rounds} rounds, ${done.total_accepted} of ${done.total_drafted} drafted tokens accepted${speedupWords(run)}.${exactnessWords(run)}${departedAt(done)}`;
}

function speedupWords(run: Run): string {
  const speedup = run.done?.metrics.overall_speedup ?? null;
  if (speedup === null || exactnessOf(run)?.label === "unverified") return "";
  const plainTps = run.done?.metrics.baseline_tps ?? null;
  if (plainTps !== null && unlikePasses(run, plainTps)) return ", not comparable with its baseline";
  const baseline = run.started?.remote ? "one streaming call" : "plain decoding";
  return `, ${fixed(speedup)} times the speed of ${baseline}`;
}

const departedAt = ({ departure }: Done): string =>
  departure ? ` It departs from plain decoding at token ${departure.position + 1}.` : "";

/** The exactness of the text; empty if it is exact. */
function exactnessWords(run: Run): string {
  const label = exactnessOf(run)?.label ?? "exact";
  const bound = run.done?.metrics.total_variation_bound ?? null;
  if (label === "unverified") return " Unverified: no speedup is claimed.";
  if (label === "bounded" && bound !== null && bound < 1) {
    return ` Bounded: a total variation of at most ${variation(bound, "up")} from the target's distribution.`;
  }
  return label === "exact" ? "" : ` Exactness: ${label}.`;
}

export function Announcer() {
  const text = useApp((state) => (state.play ? summary(state.play.shown) : ""));
  return (
    <div aria-live="polite" role="status" className="sr-only">
      {text}
    </div>
  );
}
