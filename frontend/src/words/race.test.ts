import { describe, expect, it } from "vitest";
import { hasTargets, type Lane, type LaneSettings, resultsOf } from "../run/race";
import { emptyRun, reduceAll } from "../run/reducer";
import { metrics, roundOf, started } from "../testing/messages";
import {
  differenceWords,
  laneName,
  lengthsNote,
  loadingNote,
  overlapWords,
  raceProgress,
  summaryOf,
  timeWords,
  withoutPlain,
} from "./race";

const PLAIN: LaneSettings = { policy: "fixed", drafter: null, k: 0 };
const EAGLE: LaneSettings = { policy: "fixed", drafter: "eagle", k: 4 };

const run = reduceAll(emptyRun, [started(), ...roundOf(0, ["a"], 1, "b").slice(0, -1), metrics(0, 1)]);
const tokens = run.rounds[0]?.emitted ?? [];
const lane = (settings: LaneSettings, ...allMs: number[]): Lane => {
  const ms = allMs.toSorted((a, b) => a - b)[(allMs.length - 1) >> 1] ?? 0;
  const range = { leastMs: Math.min(...allMs), mostMs: Math.max(...allMs) };
  return { settings, run, arrivals: [], tokens, ms, allMs, ...range, tps: 2000 / ms, loadingS: 0 };
};

it("names a lane by its settings", () => {
  expect([PLAIN, EAGLE, { policy: "auto", drafter: null, k: null } as const].map(laneName)).toEqual([
    "plain",
    "EAGLE head, K 4",
    "auto",
  ]);
  expect(laneName({ ...PLAIN, target: "/models/small.gguf:Q8_0" })).toBe("plain on small.gguf:Q8_0");
});

it("compares lanes of different targets with their own plain lanes only", () => {
  const there = { target: "small:Q8_0" };
  const lanes = [lane(PLAIN, 4000), lane({ ...PLAIN, ...there }, 3000), lane({ ...EAGLE, ...there }, 1000)];
  const results = resultsOf(lanes);
  expect(hasTargets(lanes)).toBe(true);
  expect(results.map(differenceWords)).toEqual(["", "", "The same tokens as lane 2."]);
  expect(results.map(({ speedup }) => speedup)).toEqual([null, null, 3]);
  expect(summaryOf(results)).toBe(
    "Lane 3 finishes first (EAGLE head, K 4 on small:Q8_0): 1.00 s, 3.00 times the speed of plain decoding with its own target.",
  );
  expect(results.map((result) => withoutPlain(result, true))).toEqual(["", "", ""]);
  const [, alone] = resultsOf([lane(PLAIN, 4000), lane({ ...EAGLE, ...there }, 1000)]);
  expect(alone?.speedup).toBeNull();
  expect(alone && withoutPlain(alone, true)).toMatch(/there is no speedup/);
  expect(alone && withoutPlain(alone, false)).toBe("");
});

it("states the time of loading a target apart from all others", () => {
  expect(loadingNote(lane(PLAIN, 4000))).toBe("");
  expect(loadingNote({ ...lane(PLAIN, 4000), loadingS: 5.9 })).toBe(
    "Its target took 5.90 s to load and measure, before the run.",
  );
});

it("states how far a race is", () => {
  expect(raceProgress("auto", 1, 6, run)).toBe("run 2 of 6: auto, 2 tokens");
  expect(raceProgress("auto", 0, 6, reduceAll(emptyRun, [started()]))).toBe(
    "run 1 of 6: auto, Computing the prompt…",
  );
});

describe("the result", () => {
  it("has the first lane, its time and its speedup", () => {
    const results = resultsOf([lane(PLAIN, 4000), lane(EAGLE, 2000)]);
    expect(summaryOf(results)).toBe(
      "Lane 2 finishes first (EAGLE head, K 4): 2.00 s, 2.00 times the speed of plain decoding.",
    );
    expect(results.map(({ lane: own }) => timeWords(own))).toEqual(["4.00 s", "2.00 s"]);
    expect(results.map(differenceWords)).toEqual(["", "The same tokens as lane 1."]);
    expect(lengthsNote(results)).toBe("");
  });

  it("claims no speedup for plain decoding, and no first lane of two equal ones", () => {
    expect(summaryOf(resultsOf([lane(PLAIN, 400), lane(EAGLE, 500)]))).toBe(
      "Lane 1 finishes first (plain): 400 ms.",
    );
    expect(summaryOf(resultsOf([lane(EAGLE, 500), lane(EAGLE, 500)]))).toBe(
      "Lane 1 and lane 2 finish together: 500 ms.",
    );
  });

  it("has the range of several runs, and states where an order may be chance", () => {
    const results = resultsOf([lane(PLAIN, 400, 500, 600), lane(EAGLE, 550, 300, 420)]);
    expect(results.map(({ lane: own }) => timeWords(own))).toEqual([
      "500 ms, from 400 ms to 600 ms",
      "420 ms, from 300 ms to 550 ms",
    ]);
    expect(summaryOf(results)).toMatch(
      /^Lane 2 .*: 420 ms, the median of 3 runs, 1\.19 times .* Ranges overlap, so the order may be chance\.$/,
    );
    expect(results.map(overlapWords)).toEqual([
      "Its range overlaps with that of lane 2: their order may be chance.",
      "Its range overlaps with that of lane 1: their order may be chance.",
    ]);
  });

  it("marks a different text", () => {
    const short = { ...lane(EAGLE, 300), tokens: tokens.slice(0, 1) };
    const results = resultsOf([lane(PLAIN, 400), short]);
    expect(results.map(differenceWords)[1]).toBe("Differs from lane 1 from token 2 on.");
    expect(lengthsNote(results)).toMatch(/different lengths/);
  });
});
