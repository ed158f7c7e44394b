import { expect, it } from "vitest";
import { notedWords, unlikeWords } from "./unlike";

it("names both times, and what may have caused the difference", () => {
  expect(unlikeWords({ rows: 1, runMs: 64, baselineMs: 31, contextTokens: null })).toBe(
    "A pass of one token took 64 ms in this run and 31 ms when the baseline was measured: something else used the processor, so the two cannot be compared.",
  );
  expect(unlikeWords({ rows: 1, runMs: 31, baselineMs: 64, contextTokens: null })).toMatch(
    /something else used the processor then, so/,
  );
  expect(unlikeWords({ rows: 5, runMs: 140, baselineMs: 68, contextTokens: 1900 })).toBe(
    "A pass over 5 tokens took 140 ms in this run and 68 ms at the speed of the baseline: something else used the processor, or the text, of 1,900 tokens, is the cause, so the two cannot be compared.",
  );
});

it("says what a difference that leaves the verdict means for it", () => {
  expect(notedWords({ rows: 1, runMs: 28, baselineMs: 20, contextTokens: null })).toBe(
    "A pass of one token took 28 ms in this run and 20 ms when the baseline was measured. At equal times the speedup would be higher.",
  );
  expect(notedWords({ rows: 1, runMs: 20, baselineMs: 28, contextTokens: null })).toMatch(
    /would be lower\.$/,
  );
});
