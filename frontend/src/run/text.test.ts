import { describe, expect, it } from "vitest";
import { draft, roundOf, started } from "../testing/messages";
import type { Run } from "./model";
import { emptyRun, reduce, reduceAll } from "./reducer";
import { mayContain, type TextBlocks, textBlocks } from "./text";

/** Rounds of three tokens; every seventh ends its line in the middle, every fifth at its end; one line is very long. */
function wordsOf(index: number): [string, string, string] {
  const long = index > 60 && index < 130;
  return ["a", index % 7 === 0 && !long ? "b\n" : "b", index % 5 === 0 && !long ? "c\n" : "c"];
}
const EVENTS = Array.from({ length: 200 }, (_, index) => {
  const [first, second, third] = wordsOf(index);
  return roundOf(index, [first, second, "x"], 2, third);
}).flat();
const labels = ({ blocks }: TextBlocks) =>
  blocks.map(({ lines }) => lines.map((line) => line.map((t) => t.label)));
const keys = ({ blocks }: TextBlocks) =>
  blocks.flatMap(({ lines }) => lines.flat().map((token) => token.key));

describe.each([false, true])("the text in blocks, with rejected tokens: %s", (showRejected) => {
  it("grows into what it would be from the start, and keeps its blocks", () => {
    let run: Run = reduce(emptyRun, started());
    let grown: TextBlocks | null = null;
    for (const [at, event] of EVENTS.entries()) {
      run = reduce(run, event);
      if (at % 3 !== 0 && at < EVENTS.length - 1) continue;
      const next: TextBlocks = textBlocks(run, showRejected, grown);
      // The round in which the last of them ended may have gone on.
      const kept: number = (grown?.ends.length ?? 0) - 1;
      for (let block = 0; block < kept; block += 1) expect(next.blocks[block]).toBe(grown?.blocks[block]);
      grown = next;
    }
    const fresh = textBlocks(run, showRejected);
    expect(grown && labels(grown)).toEqual(labels(fresh));
    expect(grown?.ends).toEqual(fresh.ends);
    expect(fresh.blocks.length).toBeGreaterThan(3);
    expect(keys(fresh)).toHaveLength(new Set(keys(fresh)).size);
    for (const { lines } of fresh.blocks.slice(0, -1)) {
      expect(lines.flat().length).toBeGreaterThanOrEqual(96);
      expect(lines.at(-1)?.at(-1)?.text.endsWith("\n")).toBe(true);
    }
  });

  it("goes back as well, and does not keep what changed", () => {
    const whole = reduceAll(reduce(emptyRun, started()), EVENTS);
    const blocks = textBlocks(whole, showRejected);
    const back: Run = { ...whole, rounds: whole.rounds.slice(0, 90) };
    expect(labels(textBlocks(back, showRejected, blocks))).toEqual(labels(textBlocks(back, showRejected)));
    const [first, ...rest] = whole.rounds;
    const other: Run = {
      ...whole,
      rounds: first ? [{ ...first, emitted: first.emitted.slice(0, 1) }, ...rest] : rest,
    };
    expect(labels(textBlocks(other, showRejected, blocks))).toEqual(labels(textBlocks(other, showRejected)));
    expect(textBlocks(whole, !showRejected, blocks).blocks[0]).not.toBe(blocks.blocks[0]);
  });
});

it("knows which blocks a token can be in", () => {
  const { blocks } = textBlocks(reduceAll(reduce(emptyRun, started()), EVENTS), false);
  for (const block of blocks) {
    for (const token of block.lines.flat()) expect(mayContain(block, token.key)).toBe(true);
  }
  expect(blocks.filter((block) => mayContain(block, "199:+"))).toHaveLength(1);
});

it("cuts the text into lines after each token that ends a line", () => {
  const run = reduceAll(emptyRun, [
    started(),
    ...roundOf(0, ["a", "b\n"], 2, "c"),
    ...roundOf(1, ["x"], 0, "d\n\n"),
    draft(2, 0, "e"),
  ]);
  expect(labels(textBlocks(run, false))).toEqual([[["a", "b\n"], ["c", "d\n\n"], ["e"]]]);
  expect(labels(textBlocks(run, true))).toEqual([[["a", "b\n"], ["c", "x", "d\n\n"], ["e"]]]);
});
