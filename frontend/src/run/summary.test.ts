import { describe, expect, it } from "vitest";
import { done, failure, roundOf, started } from "../testing/messages";
import { IDLE, metricsOf, STARTED } from "../testing/runs";
import type { Run } from "./model";
import { emptyRun, reduceAll } from "./reducer";
import { firstDifference, summaryOf, tokenKey, tokenNumber } from "./summary";
import type { UnlikePasses } from "./unlike";

const LATEST = { ...metricsOf(3, 0, 0, 1), window_rounds: 50 };

const run = reduceAll(emptyRun, [
  started({ k: 2, seed: 9 }),
  ...roundOf(0, ["a", "b"], 1, "c"),
  ...roundOf(1, ["d"], 1, "e"),
  done(),
]);

describe("the summary of a run", () => {
  it("has its settings, the figures of its end, and its end", () => {
    const summary = summaryOf(run, String);
    expect(summary).toMatchObject({ k: 2, seed: 9, target: "target", ended: run.done?.finish_reason });
    expect(summary?.tokens).toBe(run.done?.metrics.tokens);
    expect(summary?.speedup).toBe(run.done?.metrics.overall_speedup ?? null);
  });

  it("has the figures so far, and why the run failed", () => {
    const failed = reduceAll(emptyRun, [started(), ...roundOf(0, ["a"], 1, "c"), failure()]);
    const summary = summaryOf(failed, String);
    expect(summary?.ended).toBe("error");
    expect(summary?.failure).toContain(failed.failure?.message);
    expect(summary?.tokens).toBe(failed.latest?.tokens);
    expect(summaryOf(emptyRun, String)).toBeNull();
  });

  it("has words in place of a speedup where the passes were unlike those of the baseline", () => {
    const rounds = Array.from({ length: 4 }, (_, index) => ({
      index,
      drafted: [],
      emitted: [],
      metrics: { ...metricsOf(index, 0, 0, 1), verify_ms: 64, round_ms: 65 },
    }));
    const slow: Run = { ...IDLE, started: STARTED, rounds, latest: { ...LATEST, baseline_tps: 1000 / 31 } };
    const words = ({ runMs, baselineMs }: UnlikePasses) => `${runMs} against ${baselineMs.toFixed()}`;
    expect(summaryOf(slow, words)).toMatchObject({ speedup: null, unlike: "64 against 31" });
    const like = { ...slow, latest: { ...LATEST, baseline_tps: 1000 / 60, overall_speedup: 0.92 } };
    expect(summaryOf(like, words)).toMatchObject({ speedup: 0.92, unlike: null });
  });
});

describe("the number of a token", () => {
  it("leads back to it, for drafted tokens and for the one after the accepted path", () => {
    for (const [at, { drafted, emitted }] of run.rounds.entries()) {
      for (const { key } of [...drafted, ...emitted]) {
        const number = tokenNumber(run, key);
        expect(number).not.toBeNull();
        expect(tokenKey(run, at + 1, number ?? 0)).toBe(key);
      }
    }
  });

  it("is unknown for a token and a round that the run does not have", () => {
    for (const key of ["9:0", "0:9", "", "0"]) expect(tokenNumber(run, key)).toBeNull();
    expect(tokenKey(run, 3, 1)).toBeNull();
    expect(tokenKey(run, 1, 0)).toBeNull();
    expect(tokenKey(run, 1, 4)).toBeNull();
  });
});

describe("the first difference of two texts", () => {
  it.each([
    ["abc", "abd", 2],
    ["abc", "abc", null],
    ["abc", "ab", 2],
    ["", "a", 0],
    ["😀a", "😀b", 1],
    ["😀", "😁", 0],
  ])("of %j and %j is %s", (a, b, at) => expect(firstDifference(a, b)).toBe(at));
});
