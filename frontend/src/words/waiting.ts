// What a run waits for before its first token.
import type { Run } from "../run/model";
import { emittedCount } from "../run/selectors";
import { plural } from "./format";

/** What a run without tokens waits for; null if it does not wait. */
export function waitingFor(run: Run): string | null {
  if (run.phase === "running") return run.rounds.length === 0 ? "Computing the prompt…" : null;
  if (run.phase !== "queued" || !run.queued) return null;
  const { place } = run.queued;
  return place === 1
    ? "The model is busy. This run is next."
    : `The model is busy. This run is number ${place} in the queue.`;
}

/** How far the plain run beside the shown one is. */
export function plainProgress(plain: Run): string {
  const waiting = waitingFor(plain);
  return `Measuring plain decoding of this prompt: ${waiting ?? plural(emittedCount(plain), "token")}`;
}
