import { describe, expect, it } from "vitest";
import { drawFrom, seededRandom } from "./chance";
import { fitOf } from "./fit";
import { acceptance, countDraws, LEAST, outputOf, RULES, residual, verify, withShare } from "./rule";

const P = [0.42, 0.28, 0.16, 0.1, 0.04];
const Q = [0.2, 0.1, 0.14, 0.16, 0.4];
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const near = (found: readonly number[], expected: readonly number[]) => {
  for (const [at, value] of expected.entries()) expect(found[at]).toBeCloseTo(value, 12);
};

describe("the seeded generator", () => {
  it("repeats with its seed, differs with another, and stays in [0, 1)", () => {
    const of = (seed: number) => Array.from({ length: 500 }, seededRandom(seed));
    expect(of(7)).toEqual(of(7));
    expect(of(7)).not.toEqual(of(8));
    expect(of(7).every((value) => value >= 0 && value < 1)).toBe(true);
    expect(sum(of(7)) / 500).toBeCloseTo(0.5, 1);
  });

  it("draws each token over its own part, never an impossible one", () => {
    expect([0, 0.49, 0.5, 0.999].map((uniform) => drawFrom([0.5, 0, 0.5], uniform))).toEqual([0, 0, 2, 2]);
    expect(drawFrom([0.3, 0.3, 0], 0.99)).toBe(1);
  });
});

describe("the rule", () => {
  it("gives exactly p, and its broken twins do not", () => {
    near(outputOf("exact", P, Q), P);
    near(outputOf("exact", Q, P), Q);
    near(outputOf("always", P, Q), Q);
    const forgotten = outputOf("target", P, Q);
    expect(sum(forgotten)).toBeCloseTo(1, 12);
    expect(Math.abs((forgotten[0] ?? 0) - 0.42)).toBeGreaterThan(0.02);
    const again = outputOf("again", P, Q);
    expect(sum(again)).toBeCloseTo(1, 12);
    expect(Math.abs((again[4] ?? 0) - 0.04)).toBeGreaterThan(0.01);
  });

  it("accepts with the overlap of p and q, and draws the rest where p is above q", () => {
    expect(acceptance(P, Q)).toBeCloseTo(0.2 + 0.1 + 0.14 + 0.1 + 0.04, 12);
    expect(acceptance(P, P)).toBeCloseTo(1, 12);
    near(residual(P, Q), [0.22 / 0.42, 0.18 / 0.42, 0.02 / 0.42, 0, 0]);
    near(residual(P, P), P);
  });

  it("decides one draw from its three uniforms", () => {
    const numbers = (...values: number[]) => {
      const left = [...values];
      return () => left.shift() ?? Number.NaN;
    };
    // Token 4 is drafted (q 0.4, p 0.04): accepted below 0.1.
    const accepted = { drafted: 4, accepted: true, redraw: null, emitted: 4 };
    expect(verify("exact", P, Q, numbers(0.9, 0.0999))).toMatchObject(accepted);
    const rejected = { drafted: 4, accepted: false, redraw: 0.6, emitted: 1 };
    expect(verify("exact", P, Q, numbers(0.9, 0.1001, 0.6))).toMatchObject(rejected);
    expect(verify("always", P, Q, numbers(0.9, 0.999))).toMatchObject(accepted);
  });

  it("passes the chi-square test over 1,000 draws, which every twin fails", () => {
    const follows = RULES.map((rule) => fitOf(countDraws(rule, P, Q, 1000, seededRandom(3)), P)?.follows);
    expect(follows).toEqual([true, false, false, false]);
  });
});

describe("the chi-square test", () => {
  it("is not made with too few draws", () => {
    expect(fitOf([1, 2, 3, 1, 0], P)).toBeNull();
    expect(fitOf([420, 280, 160, 100, 40], P)).toEqual({ statistic: 0, limit: 18.467, follows: true });
  });

  it("rejects about one sample of p itself in a thousand", () => {
    const random = seededRandom(11);
    const rejected = Array.from({ length: 1000 }, () => countDraws("always", P, P, 200, random)).filter(
      (counts) => fitOf(counts, P)?.follows === false,
    );
    expect(rejected.length).toBeLessThan(8);
  });
});

describe("a bar that is moved", () => {
  it("leaves the others in proportion, and no token without a share", () => {
    const moved = withShare(P, 0, 0.71);
    expect(moved[0]).toBe(0.71);
    expect(sum(moved)).toBeCloseTo(1, 12);
    expect(((moved[1] ?? 0) - LEAST) / ((moved[2] ?? 0) - LEAST)).toBeCloseTo(0.27 / 0.15, 9);
    for (const share of [-1, 0, 1, 2]) {
      const extreme = withShare(P, 2, share);
      expect(sum(extreme)).toBeCloseTo(1, 12);
      expect(Math.min(...extreme)).toBeGreaterThanOrEqual(LEAST - 1e-12);
    }
    near(withShare(withShare(P, 0, 1), 0, 0.2), [0.2, 0.2, 0.2, 0.2, 0.2]);
  });
});
