import { describe, expect, it } from "vitest";
import { metrics, roundOf, started } from "../testing/messages";
import type { Run } from "./model";
import {
  arrivalsOf,
  arrivedBy,
  endOf,
  firstDifference,
  type LaneSettings,
  laneOf,
  resultsOf,
  tickClock,
  turnsOf,
} from "./race";
import { emptyRun, reduceAll } from "./reducer";

const PLAIN: LaneSettings = { policy: "fixed", drafter: null, k: 0 };
const DRAFTED: LaneSettings = { policy: "fixed", drafter: "model", k: 2 };

/** Rounds of two accepted tokens and one more, each of `ms`. */
function runOf(rounds: number, ms: number): Run {
  const events = Array.from({ length: rounds }, (_, at) => [
    ...roundOf(at, ["a", "b"], 2, "c").slice(0, -1),
    metrics(at, 2, { round_ms: ms }),
  ]);
  return reduceAll(emptyRun, [started(), ...events.flat()]);
}

function plainOf(tokens: number, ms: number): Run {
  const events = Array.from({ length: tokens }, (_, at) => [
    ...roundOf(at, [], 0, "x").slice(0, -1),
    metrics(at, 0, { round_ms: ms }),
  ]);
  return reduceAll(emptyRun, [started({ k: 0 }), ...events.flat()]);
}

it("runs every lane once in each repetition, and begins each with another one", () => {
  expect(turnsOf(3, 1).map(({ lane }) => lane)).toEqual([0, 1, 2]);
  const turns = turnsOf(3, 3);
  expect(turns.map(({ lane }) => lane)).toEqual([0, 1, 2, 1, 2, 0, 2, 0, 1]);
  expect(turns.map(({ repeat }) => repeat)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
});

it("counts tokens by the time of their rounds", () => {
  const arrivals = arrivalsOf(runOf(3, 20));
  expect(arrivals).toEqual([
    { ms: 20, tokens: 3 },
    { ms: 40, tokens: 6 },
    { ms: 60, tokens: 9 },
  ]);
  expect([0, 19.9, 20, 59, 60, 1e9].map((ms) => arrivedBy(arrivals, ms))).toEqual([0, 0, 3, 6, 9, 9]);
  expect(arrivalsOf(emptyRun)).toEqual([]);
});

it("finds the first difference of two texts", () => {
  expect(firstDifference([1, 2, 3], [1, 2, 3])).toBeNull();
  expect(firstDifference([1, 2, 3], [1, 9, 3])).toBe(1);
  expect(firstDifference([1, 2], [1, 2, 3])).toBe(2);
  expect(firstDifference([], [])).toBeNull();
});

describe("a lane", () => {
  it("has the figures of its median run, and the range of all", () => {
    const lane = laneOf(DRAFTED, [runOf(2, 50), runOf(2, 20), runOf(2, 30)]);
    expect(lane).toMatchObject({ ms: 60, leastMs: 40, mostMs: 100, allMs: [100, 40, 60], tps: 100 });
    expect(lane.tokens).toHaveLength(6);
  });

  it("has no speed without a round", () => {
    expect(laneOf(PLAIN, [emptyRun])).toMatchObject({ ms: 0, tps: null, tokens: [] });
  });
});

describe("the results", () => {
  const plain = laneOf(PLAIN, [plainOf(6, 20)]);
  const fast = laneOf(DRAFTED, [runOf(2, 30)]);

  it("have the order of the ends, and speedups over the plain lane", () => {
    const [first, second] = resultsOf([plain, fast]);
    expect([first?.place, second?.place]).toEqual([2, 1]);
    expect([first?.speedup, second?.speedup]).toEqual([null, 2]);
    expect(endOf([plain, fast])).toBe(120);
    expect(resultsOf([fast, fast])[0]?.speedup).toBeNull();
    expect(resultsOf([fast, fast, plain]).map(({ place }) => place)).toEqual([1, 1, 3]);
  });

  it("mark where a text leaves that of the first lane", () => {
    expect(resultsOf([plain, fast]).map(({ difference }) => difference)).toEqual([null, null]);
    const shorter = laneOf(DRAFTED, [runOf(1, 30)]);
    expect(resultsOf([fast, shorter])[1]?.difference).toBe(3);
  });

  it("state that an order may be chance only if ranges of several runs overlap", () => {
    const wide = laneOf(DRAFTED, [runOf(2, 20), runOf(2, 30), runOf(2, 70)]);
    const near = laneOf(DRAFTED, [runOf(2, 40), runOf(2, 41), runOf(2, 42)]);
    const far = laneOf(PLAIN, [plainOf(6, 90), plainOf(6, 90), plainOf(6, 95)]);
    expect(resultsOf([wide, near, far]).map(({ overlaps }) => overlaps)).toEqual([[1], [0], []]);
    expect(resultsOf([plain, plain]).map(({ overlaps }) => overlaps)).toEqual([[], []]);
  });
});

it("has a clock that stops at the end and does not skip", () => {
  expect(tickClock({ ms: 0, playing: true }, 16, 100)).toEqual({ ms: 16, playing: true });
  expect(tickClock({ ms: 90, playing: true }, 16, 100)).toEqual({ ms: 100, playing: false });
  expect(tickClock({ ms: 0, playing: true }, 60_000, 1000).ms).toBeLessThan(1000);
  expect(tickClock({ ms: 5, playing: false }, 16, 100)).toEqual({ ms: 5, playing: false });
});
