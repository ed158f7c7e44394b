import { describe, expect, it } from "vitest";
import type { Departure, NoiseFloor } from "../protocol/generated";
import { aboutFloor, causeWords, departureWords, exchangeVariation, floorWords, isNearTie } from "./noise";

const FLOOR: NoiseFloor = {
  mean_total_variation: 0.0281,
  max_total_variation: 0.0549,
  argmax_agreement: 1,
  tokens: 16,
  context_tokens: 512,
  rows: 5,
  proven: false,
};
const DEPARTURE: Departure = {
  position: 234,
  plain_token: " specifically",
  speculative_token: " intended",
  margin: 0.05,
};

describe("the noise floor", () => {
  it("has the context and the rows that it was measured at", () => {
    expect(floorWords(FLOOR, false)).toBe(
      "Measured at 512 tokens of context, 5 rows per pass: 0.028 on average, 0.055 at most, and the most probable token was the same at all 16 positions.",
    );
    expect(floorWords({ ...FLOOR, argmax_agreement: 0.9375 }, false)).toMatch(
      /same at 15 of 16 positions\.$/,
    );
    expect(floorWords({ ...FLOOR, context_tokens: 0, rows: 0 }, false)).toMatch(
      /^Measured at an unknown context: 0\.028 on average/,
    );
  });

  it("says where it is 0 by proof, and what follows, and claims neither for a measurement of 0", () => {
    const zero = { ...FLOOR, mean_total_variation: 0, max_total_variation: 0, context_tokens: 560, rows: 64 };
    const proven = { ...zero, proven: true };
    expect(floorWords(proven, false)).toMatch(/^0 by proof, .* up to 560 tokens of context/);
    expect(aboutFloor(proven)).toMatch(/is the text of plain decoding, bit for bit\.$/);
    for (const floor of [zero, FLOOR, null]) {
      expect(`${floorWords(floor, false)} ${aboutFloor(floor)}`).not.toMatch(/proof|bit for bit/);
    }
    expect(floorWords(zero, false)).toMatch(/^Measured at 560 tokens/);
  });

  it("is unknown in words", () => {
    expect(floorWords(null, false)).toMatch(/not been measured yet/);
    expect(floorWords(null, true)).toMatch(/unknown here/);
  });
});

describe("a departure", () => {
  it("names its token, counted from 1, and both texts", () => {
    expect(departureWords(DEPARTURE)).toBe(
      "At T=0 the text with speculation departs from plain decoding at token 235: '\u00a0intended' instead of '\u00a0specifically'.",
    );
    expect(departureWords({ ...DEPARTURE, plain_token: "\n" })).toMatch(/instead of '↵'\.$/);
  });

  it("needs half the difference of two probabilities that add up to 1", () => {
    const margin = Math.log(0.6 / 0.4);
    expect(exchangeVariation(margin)).toBeCloseTo((0.6 - 0.4) / 2, 12);
    expect(exchangeVariation(0)).toBe(0);
  });

  it("is a near tie only if the largest noise reaches what exchanges the two tokens", () => {
    const enough = exchangeVariation(0.05);
    const floor = (max_total_variation: number) => ({
      ...FLOOR,
      mean_total_variation: 0,
      max_total_variation,
    });
    expect(isNearTie(DEPARTURE, floor(enough))).toBe(true);
    expect(isNearTie(DEPARTURE, floor(enough - 1e-9))).toBe(false);
    expect(isNearTie({ ...DEPARTURE, margin: 0 }, floor(0))).toBe(true);
    expect(isNearTie({ ...DEPARTURE, margin: null }, FLOOR)).toBeNull();
    expect(isNearTie(DEPARTURE, null)).toBeNull();
  });

  it("shows both figures, and that the noise does not explain a wide margin", () => {
    expect(causeWords(DEPARTURE, FLOOR)).toBe(
      "A near tie. The margin is 0.050 nats, so a total variation of 0.012 suffices to exchange the two tokens, and the noise floor is 0.055 at most.",
    );
    expect(causeWords({ ...DEPARTURE, margin: 0.42 }, FLOOR)).toBe(
      "Not a near tie. The margin is 0.420 nats, so a total variation of 0.103 suffices to exchange the two tokens, but the noise floor is 0.055 at most: the measured noise does not explain the departure.",
    );
  });

  it("never shows figures that contradict the comparison", () => {
    const enough = exchangeVariation(0.42);
    const figures = (max_total_variation: number) =>
      causeWords({ ...DEPARTURE, margin: 0.42 }, { ...FLOOR, max_total_variation })
        .match(/0\.\d+(?= suffices| at most)/g)
        ?.map(Number) ?? [];
    const [above = 1, reached = 0] = figures(enough);
    expect(reached).toBeGreaterThanOrEqual(above);
    expect(causeWords({ ...DEPARTURE, margin: 0.0012 }, FLOOR)).toContain(
      "a total variation of 0.0003 suffices",
    );
    for (const short of [1e-4, 1e-6, 1e-9]) {
      const [needed = 0, noise = 1] = figures(enough - short);
      expect(noise).toBeLessThan(needed);
    }
  });

  it("names what is unknown, and claims nothing", () => {
    const unknown = { ...DEPARTURE, margin: null };
    expect(causeWords(unknown, FLOOR)).toMatch(
      /^The margin .* is unknown, .*; the noise floor is 0\.055 at most\.$/,
    );
    expect(causeWords(DEPARTURE, null)).toMatch(
      /0\.050 nats.*; the noise floor is unknown, so it is unknown/,
    );
    expect(causeWords(unknown, null)).toMatch(/^The margin .* and the noise floor are unknown/);
    for (const words of [
      causeWords(unknown, FLOOR),
      causeWords(DEPARTURE, null),
      causeWords(unknown, null),
    ]) {
      expect(words).not.toMatch(/^(A|Not a) near tie/);
    }
  });
});
