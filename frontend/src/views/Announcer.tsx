// Says to a screen reader how a run ended; single tokens are not announced.
import { fixed } from "../state/format";
import type { Run } from "../state/model";
import { useApp } from "../state/useStore";

const REASONS = {
  stop: "finished",
  length: "reached the token limit",
  context: "filled the context",
  cancelled: "stopped",
  error: "failed",
} as const;

export function summary(run: Run): string {
  const { done, failure } = run;
  if (!done) return failure ? `Run failed: ${failure.message} ${failure.hint}` : "";
  const { metrics } = done;
  const speed =
    metrics.overall_speedup === null
      ? ""
      : `, ${fixed(metrics.overall_speedup)} times the speed of plain decoding`;
  return `Run ${REASONS[done.finish_reason]}: ${done.total_tokens} tokens in ${done.total_rounds} rounds, ${done.total_accepted} of ${done.total_drafted} drafted tokens accepted${speed}.`;
}

export function Announcer() {
  const text = useApp((state) => (state.play ? summary(state.play.shown) : ""));
  return (
    <div aria-live="polite" role="status" className="sr-only">
      {text}
    </div>
  );
}
