// The words of the scene "How deep to draft".
import type { RunCosts } from "../../run/costs";
import { type Costs, DEEPEST, expectedTokens, roundCost, type Shape, speedupAt } from "../../theory/speedup";
import { fixed, milliseconds, percent } from "../format";
import type { SliderOf } from "./sliders";

export const LEAD =
  "How many tokens should the drafter propose? A round drafts k tokens and pays for them, whether they are accepted or not. A longer draft brings more tokens, but each further token is less likely to be reached.";

/** The name, the range and the explanation of each slider. */
export const SLIDERS: readonly SliderOf<Costs>[] = [
  {
    field: "acceptance",
    name: "Acceptance α",
    highest: 0.99,
    step: 0.01,
    help: "How often the target accepts a drafted token",
  },
  { field: "draft", name: "Draft cost c", highest: 1, step: 0.01, help: "Time of one drafted token" },
  {
    field: "growth",
    name: "Growth of the pass g",
    highest: 0.6,
    step: 0.01,
    help: "Extra time of the verification pass for each drafted token",
  },
  {
    field: "roundTrip",
    name: "Round trip r",
    highest: 5,
    step: 0.05,
    help: "Time to the target and back, once a round",
  },
];

/** A value of a slider. Times are in passes of the target alone. */
export const sliderWords = (field: keyof Costs, value: number): string =>
  field === "acceptance" ? percent(value) : `${fixed(value)} ${value === 1 ? "pass" : "passes"}`;

/** Peak and cliff, in one or two sentences. */
export function shapeWords({ best, speedup, cliff }: Shape): string {
  if (speedup < 1) return "No k pays here: the target alone is faster.";
  const peak = `The best k is ${best}: computed ${fixed(speedup)}×.`;
  if (cliff !== null) return `${peak} From k = ${cliff} on, drafting is slower than the target alone.`;
  return best === DEEPEST ? `${peak} It still rises.` : peak;
}

/** The formula with its numbers, for one k. */
export function arithmetic(costs: Costs, k: number): string {
  if (k === 0) return "k = 0: nothing is drafted. This is the target alone, 1.00×.";
  const tokens = fixed(expectedTokens(costs.acceptance, k));
  const cost = fixed(roundCost(costs, k));
  return `k = ${k}: ${tokens} tokens a round ÷ ${cost} passes of time = ${fixed(speedupAt(costs, k))}×, computed.`;
}

/** What the recorded run measured, beside the formula at the same costs. */
export function measuredWords(run: RunCosts, computed: number): string {
  return (
    `The recorded run drafted k = ${run.k} and measured ${fixed(run.speedup)}×. With its acceptance (${percent(run.acceptance)}), ` +
    `draft cost (${fixed(run.draft)}) and growth (${fixed(run.growth)}), the formula gives ${fixed(computed)}×. ` +
    `It leaves out ${fixed(run.other)} passes of work a round that plain decoding does not have, and that acceptance differs from token to token. ` +
    `A plain pass took ${milliseconds(run.plainMs)}.`
  );
}
