import { describe, expect, it } from "vitest";
import { seededRandom } from "./chance";
import { expectedTokens, speedupAt } from "./speedup";
import { attended, siblingsAccepted, treeOf, treeSpeedup, treeTokens } from "./trees";

const COSTS = { first: 0.6, further: 0.3, growth: 0.05, draft: 0.1 };

/** Tokens of a round, played: siblings are tested in turn at every depth. */
function played(widths: readonly number[], rounds: number): number {
  const random = seededRandom(9);
  let tokens = 0;
  for (let round = 0; round < rounds; round += 1) {
    tokens += 1;
    for (const width of widths) {
      const tests = Array.from({ length: width }, (_, rank) => (rank === 0 ? COSTS.first : COSTS.further));
      if (!tests.some((probability) => random() < probability)) break;
      tokens += 1;
    }
  }
  return tokens / rounds;
}

describe("a tree", () => {
  it("has the children that its widths give", () => {
    const nodes = treeOf([2, 3]);
    expect(nodes).toHaveLength(8);
    expect(nodes.filter(({ parent }) => parent === 1).map(({ id, rank }) => [id, rank])).toEqual([
      [5, 0],
      [6, 1],
      [7, 2],
    ]);
    expect(treeOf([])).toEqual([]);
  });

  it("attends to ancestors only", () => {
    const nodes = treeOf([2, 2, 1]);
    expect(attended(nodes, 0)).toEqual([0]);
    expect(attended(nodes, 9)).toEqual([1, 5, 9]);
    for (const { id, parent } of nodes) {
      expect(attended(nodes, id)).toEqual([...(parent === null ? [] : attended(nodes, parent)), id]);
    }
  });

  it("gives the tokens of rounds that are played", () => {
    expect(siblingsAccepted(COSTS, 2)).toBeCloseTo(0.72, 12);
    for (const widths of [[3], [2, 2], [3, 1, 2]]) {
      expect(treeTokens(COSTS, widths)).toBeCloseTo(played(widths, 20_000), 1);
    }
  });

  it("is a chain where every width is 1", () => {
    expect(treeTokens(COSTS, [1, 1, 1])).toBeCloseTo(expectedTokens(0.6, 3), 12);
    const chain = { acceptance: 0.6, draft: 0.1, growth: 0.05, roundTrip: 0 };
    expect(treeSpeedup(COSTS, [1, 1, 1])).toBeCloseTo(speedupAt(chain, 3), 12);
  });
});
