import { expect, it } from "vitest";
import { sourceOf } from "../sources";
import { FLAVOURS, lookupWords, replayWords } from "./flavours";

it("describes each drafter once, with a letter of its own", () => {
  expect(new Set(FLAVOURS.map(({ source }) => source)).size).toBe(FLAVOURS.length);
  expect(new Set(FLAVOURS.map(({ source }) => sourceOf(source).letter)).size).toBe(FLAVOURS.length);
});

it("states what a lookup found, and what lookups would give", () => {
  expect(lookupWords({ tokens: [], matched: 0, from: 0 })).toMatch(/nothing is drafted\.$/);
  expect(lookupWords({ tokens: [7], matched: 3, from: 0 })).toBe(
    "The last 3 tokens occur earlier in the answer. The token after them is the draft.",
  );
  expect(replayWords({ rounds: 4, tokens: 6, drafted: 2 }, 3.5)).toMatch(
    /gave 3\.50 .* would give 1\.50, computed/,
  );
});
