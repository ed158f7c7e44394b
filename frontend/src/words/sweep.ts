// A sweep over depths in words.
import type { Lane } from "../run/race";
import { fitsFormula, type SweepPoint, type SweptCosts } from "../run/sweep";
import { fixed, percent, plural } from "./format";

export const SWEEP_LEAD =
  "The server decodes the prompt without drafts and with 1 to 8 drafted tokens, one run after the other. The speedup of each depth is measured, and compared with the formula.";

export const sweepTitle = (k: number): string => (k === 0 ? "plain" : `K ${k}`);

/** "2.11×, from 2.02 to 2.18". */
export function speedupWords({ speedup, least, most, lane }: SweepPoint): string {
  const range = lane.allMs.length > 1 ? `, from ${fixed(least)} to ${fixed(most)}` : "";
  return `${fixed(speedup)}×${range}`;
}

/** What the sweep found, in one or two sentences. done: whether all depths were measured. */
export function sweepSummary(best: SweepPoint | null, done: boolean): string {
  if (!best) return "";
  const so = done ? "" : " so far";
  if (best.k === 0) return `No depth pays here${so}: plain decoding is the fastest.`;
  return `K ${best.k} is the fastest${so}: ${speedupWords(best)} the speed of plain decoding, measured.`;
}

/** What the curve is computed from, and what it leaves out. */
export function curveWords(costs: SweptCosts | null, count: number): string {
  if (!costs) return "";
  if (!fitsFormula(costs)) {
    return `There is no computed curve: the formula is for drafters that draft in every round, and ${percent(costs.draftingShare)} of these rounds had a draft.`;
  }
  if (count < 2) return "There is no computed curve: this server has not measured the times of its passes.";
  return (
    `The curve is computed: (1 − α^(k+1)) / (1 − α) tokens for the measured time of a draft, of a pass over k + 1 tokens, and of the rest of a plain round. The pass is that of the plain runs of this sweep times the measured ratio of the two passes. α = ${percent(costs.acceptance)}, ` +
    "the share of the tested drafts that was accepted in these runs. The curve leaves out that the rest of a round grows with its drafts, and that acceptance differs from token to token."
  );
}

/** Texts that differ are different amounts of work. */
export function lengthWords(lanes: readonly Lane[]): string {
  const counts = lanes.map(({ tokens }) => tokens.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return most > least
    ? `The texts have ${least} to ${plural(most, "token")}, so tokens per second are compared.`
    : "";
}

/** All that the picture shows. */
export function pictureWords(
  points: readonly SweepPoint[],
  curve: readonly { k: number; speedup: number }[],
) {
  const measured = points.map((point) => `${sweepTitle(point.k)} ${fixed(point.speedup)}`).join(", ");
  const computed = curve.map(({ k, speedup }) => `${sweepTitle(k)} ${fixed(speedup)}`).join(", ");
  return `Speedup by depth. Measured: ${measured}.${computed && ` Computed: ${computed}.`}`;
}
