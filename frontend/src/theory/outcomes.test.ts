import { describe, expect, it } from "vitest";
import { seededRandom } from "./chance";
import { differenceOf, EXAMPLE, outcomesOf, type Toy, targetOf, tokensOf, tokensPerRound } from "./outcomes";
import { type Distribution, RULES, verify } from "./rule";

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const TOY = EXAMPLE;

/** Distributions from a seed; some tokens are impossible. */
function randomToy(seed: number): Toy {
  const random = seededRandom(seed);
  const row = (): Distribution => {
    const parts = [random(), random(), random() < 0.3 ? 0 : random()];
    return parts.map((part) => part / sum(parts));
  };
  const model = () => Array.from({ length: 4 }, row);
  return { p: model(), q: model() };
}

describe("all outcomes", () => {
  it("add up to p under the exact rule, to 1e-12, at every depth and length", () => {
    for (const depth of [1, 2, 3]) {
      for (const length of [1, 2, 3]) {
        const { output } = outcomesOf("exact", TOY, depth, length);
        expect(sum(output)).toBeCloseTo(1, 12);
        expect(differenceOf(output, targetOf(TOY, length)).largest).toBeLessThan(1e-12);
      }
    }
  });

  it("add up to p for any p and q, also with impossible tokens", () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const toy = randomToy(seed);
      const { output } = outcomesOf("exact", toy, 2, 3);
      expect(differenceOf(output, targetOf(toy, 3)).largest).toBeLessThan(1e-12);
    }
  });

  it("do not add up to p under any broken rule", () => {
    for (const rule of RULES.filter((name) => name !== "exact")) {
      const { output } = outcomesOf(rule, TOY, 2, 3);
      expect(sum(output)).toBeCloseTo(1, 12);
      expect(differenceOf(output, targetOf(TOY, 3)).totalVariation).toBeGreaterThan(0.02);
    }
  });

  it("find a rule that is broken after the first token only", () => {
    const second = TOY.p.map((row, at) => (at === 0 ? row : (TOY.q[at] ?? row)));
    const { output } = outcomesOf("exact", { ...TOY, p: second }, 2, 2);
    expect(differenceOf(output, targetOf(TOY, 2)).largest).toBeGreaterThan(0.01);
  });

  it("are as many as drafts, decisions and replacements allow", () => {
    // One token: of each of 3 drafts, accepted (cut: 1 text) or replaced by one of the tokens where p is above q.
    const { paths } = outcomesOf("again", TOY, 1, 1);
    const certain = (TOY.p[0] ?? []).filter((value, token) => value >= (TOY.q[0]?.[token] ?? 0)).length;
    expect(paths).toBe(3 + 3 * (3 - certain));
  });

  it("agree with rounds that are drawn", () => {
    const random = seededRandom(5);
    const draws = 20_000;
    const counts = [0, 0, 0];
    for (let draw = 0; draw < draws; draw += 1) {
      const { emitted } = verify("target", TOY.p[0] ?? [], TOY.q[0] ?? [], random);
      counts[emitted] = (counts[emitted] ?? 0) + 1;
    }
    const { output } = outcomesOf("target", TOY, 2, 1);
    for (const [token, value] of output.entries()) expect((counts[token] ?? 0) / draws).toBeCloseTo(value, 1);
  });
});

it("a text is read from its number", () => {
  expect(tokensOf(0, 3, 3)).toEqual([0, 0, 0]);
  expect(tokensOf(5, 3, 3)).toEqual([0, 1, 2]);
  expect(targetOf(TOY, 2)[5]).toBeCloseTo(0.3 * 0.2, 12);
});

it("a round has depth + 1 tokens at most, and only where q is p", () => {
  expect(tokensPerRound("exact", { ...TOY, q: TOY.p }, 2)).toBeCloseTo(3, 12);
  expect(tokensPerRound("exact", TOY, 2)).toBeLessThan(3);
  expect(tokensPerRound("exact", TOY, 1)).toBeCloseTo(1 + 0.3 + 0.3 + 0.1, 12);
});
