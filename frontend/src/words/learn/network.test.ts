import { expect, it } from "vitest";
import type { Lane, Mode } from "../../theory/network";
import { fastestWords, laneWords, SLIDERS, sliderWords } from "./network";

const lane = (mode: Mode, ms: number): Lane => ({ mode, blocks: [], arrivals: [ms / 2, ms] });

it("compares the fastest mode with the streaming call", () => {
  expect(fastestWords([lane("perCall", 400), lane("streaming", 200), lane("drafts", 100)])).toBe(
    "Fastest: drafts, one call a round, 20.0 tokens per second, 2.00× the streaming call. Computed.",
  );
  expect(fastestWords([lane("streaming", 100), lane("ahead", 200)])).toMatch(/Drafts do not pay here/);
  expect(laneWords(lane("perCall", 100))).toBe("one call for each token: 20.0 tokens/s");
});

it("gives every value of a slider its unit", () => {
  expect(SLIDERS.map(({ field }) => sliderWords(field, 1))).toEqual([
    "1 ms",
    "1 ms",
    "1.00 passes",
    "1 ms",
    "100 %",
    "1 token",
  ]);
});
