// Why a run ended, in words.
import type { Run } from "../run/model";

const REASONS = {
  stop: "finished",
  length: "reached the token limit",
  context: "filled the context",
  cancelled: "stopped",
  error: "failed",
} as const;

/** Null while the run goes on. */
export function endWords({ done, failure, phase }: Pick<Run, "done" | "failure" | "phase">): string | null {
  if (done) return REASONS[done.finish_reason];
  return phase === "failed" && failure ? REASONS.error : null;
}
