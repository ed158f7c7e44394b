import { expect, it } from "vitest";
import type { PassTime, ServerMessage } from "../protocol/generated";
import { done, metrics, roundOf, started } from "../testing/messages";
import { costsOf } from "./costs";
import { emptyRun, reduceAll } from "./reducer";

/** Two rounds of 60 ms with three drafted tokens; a plain round takes 20 ms, of which `pass_times` make the pass. */
function runWith(pass_times: PassTime[]) {
  const rounds = [0, 1].flatMap((at): ServerMessage[] => [
    ...roundOf(at, ["a", "b", "c"], 3, "x").slice(0, -1),
    metrics(at, 3, { round_emitted: 4, round_ms: 60, draft_ms: 12, verify_ms: 30, other_ms: 18 }),
  ]);
  const values = { ...done().metrics, accepted: 6, resampled: 2, baseline_tps: 50 };
  return reduceAll(emptyRun, [started({ k: 3, pass_times }), ...rounds, done({ metrics: values })]);
}

const TIMES = [
  { tokens: 1, ms: 5 },
  { tokens: 4, ms: 15 },
];

it("takes the growth of a pass from the pass of a plain round, not from the whole round", () => {
  // A verification takes 1.5 plain rounds, and its pass 3 times that of a plain round, which takes 0.5 of that round.
  const costs = costsOf(runWith(TIMES));
  expect(costs?.draft).toBeCloseTo(0.2, 12);
  expect(costs?.growth).toBeCloseTo((1.5 - 0.5) / 3, 12);
  expect(costs?.passRatio).toBeCloseTo(3, 12);
  expect(costs?.other).toBeCloseTo(3 - 0.6 - 1.5 - 0.5, 12);
});

it("has parts that add up to the measured round", () => {
  for (const times of [TIMES, []]) {
    const costs = costsOf(runWith(times));
    if (!costs) throw new Error("a finished run has costs");
    const computed = costs.k * costs.draft + 1 + costs.k * costs.growth;
    expect(computed + costs.other).toBeCloseTo(3, 12);
  }
});

it("counts a whole plain round as its pass where no ratio was measured", () => {
  expect(costsOf(runWith([]))?.growth).toBeCloseTo((1.5 - 1) / 3, 12);
});
