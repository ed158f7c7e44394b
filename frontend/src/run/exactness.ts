// How exact a run is: what was declared for it, unless a round of it was less.
import type { ExactnessInfo } from "../protocol/generated";
import type { ExactnessLabel, Run } from "./model";

const FROM_STRONGEST: readonly ExactnessLabel[] = ["exact", "exact-greedy", "bounded", "lossy", "unverified"];

export const weaker = (a: ExactnessLabel, b: ExactnessLabel): ExactnessLabel =>
  FROM_STRONGEST.indexOf(a) >= FROM_STRONGEST.indexOf(b) ? a : b;

/** Of the whole run so far: a text is no more exact than its least exact round. */
export function exactnessOf(run: Pick<Run, "started" | "updates" | "weakest">): ExactnessInfo | null {
  const declared = (run.updates.at(-1) ?? run.started)?.exactness ?? null;
  if (!declared || run.weakest === null) return declared;
  const label = weaker(declared.label, run.weakest);
  if (label === declared.label) return declared;
  const since = `Declared ${declared.label}, but some rounds of this run were ${label}.`;
  return { label, reason: [since, declared.reason].filter(Boolean).join(" ") };
}
