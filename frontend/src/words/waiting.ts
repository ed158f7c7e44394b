// What a run waits for before its first token.
import type { Loading } from "../protocol/generated";
import type { Run } from "../run/model";
import { emittedCount } from "../run/selectors";
import { milliseconds, percent, plural } from "./format";

/** What a run without tokens waits for; null if it does not wait. */
export function waitingFor(run: Run): string | null {
  if (run.phase === "running") return run.rounds.length === 0 ? "Computing the prompt…" : null;
  if (run.phase !== "queued") return null;
  if (run.loading) return loadingWords(run.loading);
  if (!run.queued) return null;
  const { place } = run.queued;
  return place === 1
    ? "The model is busy. This run is next."
    : `The model is busy. This run is number ${place} in the queue.`;
}

/** "Loading smol:Q8_0: measuring passes, 45 %, 12 s so far" */
export function loadingWords({ target, stage, progress, elapsed_s }: Loading): string {
  if (stage === "loaded") return `${target} was loaded in ${seconds(elapsed_s)}.`;
  const share = progress === null ? "" : `, ${percent(progress)}`;
  return `loading ${target}: ${stage}${share}, ${seconds(elapsed_s)} so far`;
}

const seconds = (value: number): string => milliseconds(1000 * value);

/** How far the plain run beside the shown one is. */
export function plainProgress(plain: Run): string {
  const waiting = waitingFor(plain);
  return `Measuring plain decoding of this prompt: ${waiting ?? plural(emittedCount(plain), "token")}`;
}
