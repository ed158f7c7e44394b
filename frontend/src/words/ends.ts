// Why a run ended, in words.
import type { Run } from "../run/model";

export const END_WORDS = {
  stop: "finished",
  length: "reached the token limit",
  context: "filled the context",
  cancelled: "stopped",
  error: "failed",
} as const;

/** Null while the run goes on. */
export function endWords({ done, failure, phase }: Pick<Run, "done" | "failure" | "phase">): string | null {
  if (done) return END_WORDS[done.finish_reason];
  return phase === "failed" && failure ? END_WORDS.error : null;
}
