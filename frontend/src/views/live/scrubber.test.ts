import { describe, expect, it } from "vitest";
import type { ScrubberCell } from "../../run/selectors";
import { cellPaths } from "./Scrubber";

const cell = (share: number | null, end: ScrubberCell["end"]): ScrubberCell => ({
  index: 0,
  accepted: 0,
  drafted: 0,
  share,
  end,
});
const boxes = (path: string) => path.split("M").length - 1;

describe("cellPaths", () => {
  it("has a foot for each round, and a bar only if a token was accepted", () => {
    const paths = cellPaths([
      cell(1, "bonus"),
      cell(0, "rejection"),
      cell(null, "plain"),
      cell(0.5, "rejection"),
    ]);
    expect([paths.accepted, paths.bonus, paths.rejection, paths.plain].map(boxes)).toEqual([2, 1, 2, 1]);
  });

  it("begins at the place of the first cell", () => {
    expect(cellPaths([cell(0, "bonus"), cell(0, "bonus")], 64).bonus).toMatch(/^M64 .*M65 /);
  });

  it("has a bar that is twice as high for twice the share", () => {
    const height = (share: number) =>
      Number(/v([\d.]+)/.exec(cellPaths([cell(share, "bonus")]).accepted)?.[1]);
    expect(height(1)).toBeCloseTo(2 * height(0.5));
  });
});
