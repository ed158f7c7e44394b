import { describe, expect, it } from "vitest";
import { done, failure, roundOf, started } from "../testing/messages";
import { emptyRun, reduceAll } from "./reducer";
import { firstDifference, summaryOf, tokenKey, tokenNumber } from "./summary";

const run = reduceAll(emptyRun, [
  started({ k: 2, seed: 9 }),
  ...roundOf(0, ["a", "b"], 1, "c"),
  ...roundOf(1, ["d"], 1, "e"),
  done(),
]);

describe("the summary of a run", () => {
  it("has its settings, the figures of its end, and its end", () => {
    const summary = summaryOf(run);
    expect(summary).toMatchObject({ k: 2, seed: 9, target: "target", ended: run.done?.finish_reason });
    expect(summary?.tokens).toBe(run.done?.metrics.tokens);
    expect(summary?.speedup).toBe(run.done?.metrics.overall_speedup ?? null);
  });

  it("has the figures so far, and why the run failed", () => {
    const failed = reduceAll(emptyRun, [started(), ...roundOf(0, ["a"], 1, "c"), failure()]);
    const summary = summaryOf(failed);
    expect(summary?.ended).toBe("error");
    expect(summary?.failure).toContain(failed.failure?.message);
    expect(summary?.tokens).toBe(failed.latest?.tokens);
    expect(summaryOf(emptyRun)).toBeNull();
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
