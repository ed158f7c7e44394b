// The exactness of a run: its declared label, or the weakest label of its rounds.
import type { ExactnessInfo } from "../protocol/generated";
import type { ExactnessLabel, Run } from "./model";

const FROM_STRONGEST: readonly ExactnessLabel[] = ["exact", "exact-greedy", "bounded", "lossy", "unverified"];

export const weaker = (a: ExactnessLabel, b: ExactnessLabel): ExactnessLabel =>
  FROM_STRONGEST.indexOf(a) >= FROM_STRONGEST.indexOf(b) ? a : b;

/** Of the whole run so far. A text is as exact as its least exact round. */
export function exactnessOf(run: Pick<Run, "started" | "updates" | "weakest">): ExactnessInfo | null {
  const declared = (run.updates.at(-1) ?? run.started)?.exactness ?? null;
  if (!declared || run.weakest === null) return declared;
  const label = weaker(declared.label, run.weakest);
  if (label === declared.label) return declared;
  const change = `Declared ${declared.label}, but some rounds of this run were ${label}.`;
  return { label, reason: [change, declared.reason].filter(Boolean).join(" ") };
}
