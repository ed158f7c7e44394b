import { expect, it } from "vitest";
import type { ServerMessage } from "../protocol/generated";
import { done, metrics, roundOf, started } from "../testing/messages";
import type { Run } from "./model";
import { laneOf } from "./race";
import { emptyRun, reduceAll } from "./reducer";
import { bestPoint, fitsFormula, measuredLanes, sweepLanes, sweepPoints, sweptCosts } from "./sweep";

const TIMES = [1, 2, 3].map((tokens) => ({ tokens, ms: 10 + 2 * tokens }));

/** A run of four rounds that draft `k` tokens, of which `accepted` are accepted, each of `ms`. */
function runOf(k: number, accepted: number, ms: number): Run {
  const words = Array.from({ length: k }, (_, at) => `w${at}`);
  const rounds = [0, 1, 2, 3].flatMap((at): ServerMessage[] => [
    ...roundOf(at, words, accepted, "x").slice(0, -1),
    metrics(at, k, { round_ms: ms, draft_ms: 3 * k, verify_ms: 0.6 * ms }),
  ]);
  const values = { ...done().metrics, accepted: 4 * accepted, resampled: accepted < k ? 4 : 0 };
  return reduceAll(emptyRun, [started({ k, pass_times: TIMES }), ...rounds, done({ metrics: values })]);
}

const LANES = sweepLanes("ngram");
const RUNS = [[runOf(0, 0, 100)], [runOf(1, 1, 100), runOf(1, 1, 200), runOf(1, 1, 110)], [runOf(2, 1, 160)]];

it("has plain decoding and the depths 1 to 8", () => {
  expect(LANES.map(({ k }) => k)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(LANES[0]?.drafter).toBeNull();
  expect(LANES[8]).toEqual({ policy: "fixed", drafter: "ngram", k: 8 });
});

it("measures each depth that has ended against the plain run, with the range of its runs", () => {
  const points = sweepPoints(measuredLanes(LANES, RUNS));
  expect(points.map(({ k, speedup }) => [k, Number(speedup.toFixed(3))])).toEqual([
    [0, 1],
    [1, Number((200 / 110).toFixed(3))],
    [2, Number((200 / 160).toFixed(3))],
  ]);
  expect(points[1]?.least).toBeCloseTo(1, 6);
  expect(points[1]?.most).toBeCloseTo(2, 6);
  expect(bestPoint(points)?.k).toBe(1);
});

it("has no point before the plain run has ended, and none for a run without a round", () => {
  expect(sweepPoints(measuredLanes(LANES, []))).toEqual([]);
  expect(
    sweepPoints([laneOf(LANES[1] ?? { policy: "fixed", drafter: "a", k: 1 }, [runOf(1, 1, 10)])]),
  ).toEqual([]);
  const empty = reduceAll(emptyRun, [started(), done()]);
  expect(sweepPoints(measuredLanes(LANES, [[empty]]))).toEqual([]);
});

it("takes acceptance, draft times and pass times from the runs", () => {
  const costs = sweptCosts(measuredLanes(LANES, RUNS));
  // K 1: 4 of 4 accepted; K 2: 4 accepted and 4 rejected.
  expect(costs?.acceptance).toBeCloseTo(8 / 12, 12);
  expect([...(costs?.draftMs ?? [])]).toEqual([
    [1, 3],
    [2, 6],
  ]);
  // The pass of a plain round took 60 ms of 100; a pass over two tokens takes 14/12 of a single one.
  expect(costs?.passMs.get(2)).toBeCloseTo((60 * 14) / 12, 9);
  expect(costs?.otherMs).toBeCloseTo(40, 9);
  expect(sweptCosts(measuredLanes(LANES, RUNS.slice(0, 1)))).toBeNull();
});

it("compares with the formula only what drafts in nearly every round", () => {
  const always = sweptCosts(measuredLanes(LANES, RUNS));
  expect(always?.draftingShare).toBe(1);
  expect(always && fitsFormula(always)).toBe(true);
  const idle = runOf(0, 0, 100).rounds;
  const seldom = { ...runOf(1, 0, 100), rounds: [...runOf(1, 0, 100).rounds, ...idle, ...idle, ...idle] };
  const costs = sweptCosts(measuredLanes(LANES, [[runOf(0, 0, 100)], [seldom]]));
  expect(costs?.draftingShare).toBe(0.25);
  expect(costs && fitsFormula(costs)).toBe(false);
});
