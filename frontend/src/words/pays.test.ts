import { describe, expect, it } from "vitest";
import type { Verdict } from "../run/verdict";
import { arithmetic, leverWords, paysOf, sharedWords } from "./pays";

const verdict = (tokens: number, passes: number): Verdict => ({
  tokens,
  passes,
  parts: [],
  speedup: tokens / passes,
});

it("names the outcome, and the arithmetic", () => {
  expect([1.5, 1.01, 0.995, 0.65].map(paysOf)).toEqual(["faster", "no gain", "no gain", "slower"]);
  expect(arithmetic(verdict(2.72, 4.2))).toBe("2.72 tokens a round ÷ 4.20 plain passes of time");
});

it("states in how many rounds other runs used the models", () => {
  expect(sharedWords(0, 12)).toBe("");
  expect(sharedWords(3, 12)).toBe(
    "Other runs used the models in 3 of 12 rounds: this is not the speed of a run alone.",
  );
  expect(sharedWords(1, 1)).toMatch(/^Other runs used the models in all of 1 round:/);
});

describe("the lever", () => {
  it("is a depth that would be faster", () => {
    expect(leverWords(verdict(2.7, 4.2), { k: 2, speedup: 1.13 })).toBe("At K 2 it would be 1.13×.");
    expect(leverWords(verdict(2.7, 4.2), { k: 1, speedup: 0.8 })).toBe(
      "At K 1 it would be 0.80×, still slower.",
    );
  });

  it("is the tokens that a round must emit, if no smaller depth helps", () => {
    expect(leverWords(verdict(2, 4), { k: 1, speedup: 0.3 })).toBe(
      "To break even, a round of this cost must emit 4.00 tokens.",
    );
    expect(leverWords(verdict(2, 4), null)).toMatch(/^To break even/);
  });

  it("is none for a run that gains at its best depth", () => {
    expect(leverWords(verdict(4, 2), { k: 1, speedup: 1.2 })).toBe("No smaller K would be faster.");
    expect(leverWords(verdict(4, 2), null)).toBe("");
  });
});
