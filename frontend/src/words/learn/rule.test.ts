import { expect, it } from "vitest";
import { drawWords, fitWords } from "./rule";
import { positionOf, SCENES } from "./scenes";

const TOKENS = ["the", "a"];
const DRAW = { draftUniform: 0.2, drafted: 0, acceptProb: 0.5, uniform: 0.25, emitted: 0 };

it("states the three steps of a draw", () => {
  expect(drawWords({ ...DRAW, accepted: true, redraw: null }, TOKENS, "exact")).toEqual([
    "Draft: q gives “the”.",
    "Test: the uniform is 0.250 < 0.500: accepted.",
    "",
  ]);
  const rejected = { ...DRAW, uniform: 0.75, accepted: false, redraw: 0.1, emitted: 1 };
  expect(drawWords(rejected, TOKENS, "target").slice(1)).toEqual([
    "Test: the uniform is 0.750 ≥ 0.500: rejected.",
    "Redraw: the residual gives “a”.",
  ]);
});

it("compares the counts with p only where there are enough", () => {
  expect(fitWords(0, null)).toBe("Nothing is drawn yet. Drag the blue ends of p and q, then draw.");
  expect(fitWords(1, null)).toBe("1 draw: too few to compare with p.");
  expect(fitWords(1000, { statistic: 3.14, limit: 18.467, follows: true })).toBe(
    "1,000 draws. What came out follows p: chi-square 3.1, below the limit 18.5.",
  );
  expect(fitWords(1000, { statistic: 99, limit: 18.467, follows: false })).toContain("does not follow p");
});

it("finds a scene by its id, and its neighbours", () => {
  for (const [index, { id, title }] of SCENES.entries()) {
    const place = positionOf(id);
    expect(place).toMatchObject({ index, id, title });
    expect(place.before).toBe(SCENES[index - 1] ?? null);
    expect(place.after).toBe(SCENES[index + 1] ?? null);
  }
  expect(positionOf("unknown").index).toBe(0);
  expect(new Set(SCENES.map(({ id }) => id)).size).toBe(SCENES.length);
});
