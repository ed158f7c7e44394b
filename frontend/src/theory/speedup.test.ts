import { describe, expect, it } from "vitest";
import { seededRandom } from "./chance";
import { computedSpeedup, DEEPEST, expectedTokens, longestRoundTrip, shapeOf, speedupAt } from "./speedup";

const FREE = { acceptance: 0.8, draft: 0, growth: 0, roundTrip: 0 };

/** Tokens of a round, played: drafts are accepted one by one until one fails, and one token always follows. */
function played(acceptance: number, k: number, rounds: number): number {
  const random = seededRandom(5);
  let tokens = 0;
  for (let round = 0; round < rounds; round += 1) {
    let accepted = 0;
    while (accepted < k && random() < acceptance) accepted += 1;
    tokens += accepted + 1;
  }
  return tokens / rounds;
}

describe("the tokens of a round", () => {
  it.each([
    [0, 4],
    [0.5, 3],
    [0.8, 5],
    [1, 5],
  ])("agree with rounds that are played, at acceptance %d and depth %d", (acceptance, k) => {
    expect(expectedTokens(acceptance, k)).toBeCloseTo(played(acceptance, k, 20_000), 1);
  });
});

describe("the speedup", () => {
  it("is theorem 3.8 without growth and network", () => {
    // (1 − 0.8⁴) / (0.2 · (3 · 0.1 + 1))
    expect(speedupAt({ ...FREE, draft: 0.1 }, 3)).toBeCloseTo(0.5904 / 0.26, 12);
  });

  it("is 1 for plain decoding, and falls with every cost", () => {
    expect(speedupAt({ ...FREE, roundTrip: 3 }, 0)).toBe(1);
    for (const cost of ["draft", "growth", "roundTrip"] as const) {
      expect(speedupAt({ ...FREE, [cost]: 0.2 }, 4)).toBeLessThan(speedupAt(FREE, 4));
    }
  });

  it("rises without end where drafts are free, and has a peak and a cliff where they are not", () => {
    expect(shapeOf(FREE)).toMatchObject({ best: DEEPEST, cliff: null });
    const shape = shapeOf({ ...FREE, draft: 0.2, growth: 0.1 });
    // 2.952 / 1.9 is above 2.44 / 1.6 and 3.3616 / 2.2; 4.780 tokens no longer pay 4.9 passes.
    expect(shape.best).toBe(3);
    expect(shape.cliff).toBe(13);
    expect(speedupAt({ ...FREE, draft: 0.2, growth: 0.1 }, 12)).toBeGreaterThanOrEqual(1);
  });

  it("is exactly 1 at the longest round trip that pays", () => {
    const costs = { ...FREE, draft: 0.1, growth: 0.05 };
    for (const k of [1, 4, 9]) {
      expect(speedupAt({ ...costs, roundTrip: longestRoundTrip(costs, k) }, k)).toBeCloseTo(1, 12);
    }
    expect(longestRoundTrip({ ...costs, acceptance: 0 }, 4)).toBeLessThan(0);
  });
});

describe("the speedup of measured costs", () => {
  const passes = new Map([1, 2, 3, 4].map((tokens) => [tokens, 10 + tokens]));
  const costs = {
    acceptance: 0.5,
    draftMs: (k: number) => 2 * k,
    passMs: (tokens: number) => passes.get(tokens),
    otherMs: 0,
  };

  it("is tokens of a round times the single pass, over draft and pass", () => {
    expect(computedSpeedup(costs, 0)).toBe(1);
    expect(computedSpeedup(costs, 2)).toBeCloseTo((1.75 * 11) / (4 + 13), 12);
  });

  it("counts the rest of a round once, whatever the pass costs", () => {
    const busy = { ...costs, otherMs: 9 };
    expect(computedSpeedup(busy, 2)).toBeCloseTo((1.75 * (11 + 9)) / (4 + 13 + 9), 12);
    // Scaled with the pass, it would be 1.75 · 20 / (4 + 20 · 13 / 11).
    expect(computedSpeedup(busy, 2)).not.toBeCloseTo((1.75 * 20) / (4 + (20 * 13) / 11), 2);
    expect(computedSpeedup(busy, 0)).toBe(1);
  });

  it("is the formula of Leviathan et al. where a pass costs the same for all rows", () => {
    const flat = { ...costs, draftMs: (k: number) => 3 * k, passMs: () => 10 };
    for (const k of [1, 4, 8]) {
      const expected = speedupAt({ acceptance: 0.5, draft: 0.3, growth: 0, roundTrip: 0 }, k);
      expect(computedSpeedup(flat, k)).toBeCloseTo(expected, 12);
    }
  });

  it("is unknown without the time of the pass", () => {
    expect(computedSpeedup(costs, 4)).toBeNull();
    expect(computedSpeedup({ ...costs, passMs: () => undefined }, 1)).toBeNull();
  });
});
