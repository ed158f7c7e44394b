// What a run waits for before its first token.
import type { Run } from "../run/model";

/** What a run without tokens waits for; null if it does not wait. */
export function waitingFor(run: Run): string | null {
  if (run.phase === "running") return run.rounds.length === 0 ? "Computing the prompt…" : null;
  if (run.phase !== "queued" || !run.queued) return null;
  const { place } = run.queued;
  return place === 1
    ? "The model is busy. This run is next."
    : `The model is busy. This run is number ${place} in the queue.`;
}
