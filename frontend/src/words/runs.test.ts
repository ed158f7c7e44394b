import { describe, expect, it } from "vitest";
import type { RunSummary, StoredRun } from "../protocol/generated";
import { comparedRows, differenceWords, draftWords, endOf, moment, runTitle, speedupWords } from "./runs";

const summary: RunSummary = {
  target: "target",
  draft: "small",
  drafter: "model",
  policy: "fixed",
  k: 4,
  nodes: 0,
  rule: "token",
  sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, penalties: null },
  max_tokens: 64,
  seed: 3,
  exactness: "exact",
  prompt_tokens: 9,
  tokens: 60,
  rounds: 20,
  accepted: 40,
  drafted: 80,
  acceptance_rate: 0.5,
  tokens_per_round: 3,
  tps: 30.25,
  baseline_tps: 20,
  speedup: 1.5125,
  unlike: null,
  ttft_ms: 120,
  ended: "length",
  failure: null,
  sweep: null,
  watched: null,
};
const sweep = {
  folder: "/sweeps/one",
  prompts: 12,
  choices: 9,
  runs: 130,
  temperatures: [0],
  best: "eagle, k 4",
  low: 1.2,
  high: 1.9,
  answer: "Speculation pays.",
};
const run = (changes: Partial<RunSummary> = {}): StoredRun => ({
  id: "abcd",
  created_ms: 0,
  name: null,
  prompt: "  a\n\n prompt ",
  trace_bytes: 1000,
  summary: { ...summary, ...changes },
});

describe("a kept run in words", () => {
  it("has its name, else its prompt in one line, as title", () => {
    expect(runTitle(run())).toBe("a prompt");
    expect(runTitle({ ...run(), name: "best" })).toBe("best");
    expect(runTitle({ ...run(), prompt: " \n" })).toBe("an empty prompt");
  });

  it("names the draft model, another drafter, or none", () => {
    expect(draftWords(summary)).toBe("small, k 4");
    expect(draftWords({ ...summary, drafter: "suffix", draft: null })).toMatch(/, k 4$/);
    expect(draftWords({ ...summary, k: 0 })).toBe("no draft");
    const watched = { server: "http://h", route: "/", engine: null, status: 200, streamed: true };
    expect(draftWords({ ...summary, k: 0, watched })).toBe("watched: not known");
    expect(draftWords({ ...summary, sweep })).toBe("best of 9 choices: eagle, k 4");
  });

  it("states a missing end and a missing speedup", () => {
    expect(endOf(summary)).toBe("reached the token limit");
    expect(endOf({ ...summary, ended: null })).toBe("no end recorded");
    expect(endOf({ ...summary, ended: null, sweep })).toBe("a sweep");
    expect(speedupWords(summary)).toBe("1.51×");
    expect(speedupWords({ ...summary, speedup: null })).toBe("–");
    // A plain run, whose rate differs from the baseline as any two measurements do; a sweep has sums of its own.
    expect(speedupWords({ ...summary, drafted: 0 })).toBe("–");
    expect(speedupWords({ ...summary, drafted: 0, sweep })).toBe("1.51×");
  });

  it("has its time in the reader's time zone", () => {
    const noon = new Date(2026, 0, 31, 12, 5).getTime();
    expect(moment(noon)).toBe("2026-01-31 12:05");
  });
});

describe("two runs side by side", () => {
  it("mark the rows that differ, and no others", () => {
    const rows = comparedRows(run(), run({ k: 2, speedup: 1.2 }));
    expect(rows.filter(({ differs }) => differs).map(({ name }) => name)).toEqual(["draft", "speedup"]);
    expect(rows.find(({ name }) => name === "speedup")?.values).toEqual(["1.51×", "1.20×"]);
    const unlike = comparedRows(run(), run({ speedup: null, unlike: "A pass took twice as long." }));
    expect(unlike.find(({ name }) => name === "speedup")?.values).toEqual([
      "1.51×",
      "A pass took twice as long.",
    ]);
    expect(comparedRows(run(), run()).some(({ differs }) => differs)).toBe(false);
  });

  it("state where the texts differ", () => {
    expect(differenceWords(null, 5)).toBe("The texts are equal: 5 characters.");
    expect(differenceWords(0, 5)).toMatch(/from their first/);
    expect(differenceWords(1, 5)).toBe("The texts are equal for 1 character.");
  });
});
