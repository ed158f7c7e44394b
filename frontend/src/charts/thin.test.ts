import { describe, expect, it } from "vitest";
import { columnsOf, thinned } from "./thin";

const numbers = Array.from({ length: 1000 }, (_, at) => at);

describe("a long series", () => {
  it("is thinned to the width, from its first to its last item", () => {
    const shown = thinned(numbers, 290.6);
    expect(shown).toHaveLength(290);
    expect([shown[0], shown.at(-1)]).toEqual([0, 999]);
    expect(shown.toSorted((a, b) => a - b)).toEqual(shown);
    expect(thinned(numbers, 1000)).toBe(numbers);
    expect(thinned([1, 2, 3], 0)).toEqual([1, 3]);
  });

  it("keeps the extremes of every column", () => {
    const spiky = numbers.map((at) => (at === 437 ? 9999 : at % 7));
    const columns = columnsOf(spiky, 100, (value) => value);
    expect(columns).toHaveLength(100);
    expect(Math.max(...columns.map(({ most }) => most))).toBe(9999);
    expect(Math.min(...columns.map(({ least }) => least))).toBe(0);
  });

  it("has a column for each item where there is room, and none for unknown values", () => {
    const columns = columnsOf([3, null, 5], 100, (value) => value);
    expect(columns).toEqual([
      { item: 3, least: 3, most: 3 },
      { item: 5, least: 5, most: 5 },
    ]);
  });
});
