import { expect, it } from "vitest";
import type { Started } from "../protocol/generated";
import { emptyRun, reduceAll } from "../run/reducer";
import { done, started, updated } from "../testing/messages";
import { endWords } from "./ends";
import { runSettings } from "./settings";

const sampling = { temperature: 0.8, top_k: 0, top_p: 0.95, min_p: 0, penalties: null };
const begun = reduceAll(emptyRun, [started({ k: 4, seed: 7, sampling })]);
const words = (run: typeof begun) =>
  Object.fromEntries(
    runSettings(run).map(({ name, value, change }) => [name, change ? `${value}; ${change}` : value]),
  );

it("names what a run was started with, and only the filters that are on", () => {
  expect(words(begun)).toMatchObject({
    drafter: "draft model",
    depth: "K 4",
    temperature: "0.8",
    "top-p": "0.95",
    rule: "token",
    seed: "7",
  });
  expect(Object.keys(words(begun))).not.toContain("top-k");
  expect(Object.keys(words(begun))).not.toContain("tree");
});

it("follows the updates, and keeps the round from which on they hold", () => {
  const update = updated({
    round: 11,
    k: 2,
    drafter: "ngram",
    nodes: 8,
    sampling: { ...sampling, temperature: 0 },
  });
  expect(words(reduceAll(begun, [update]))).toMatchObject({
    drafter: "prompt lookup; was draft model before round 12",
    depth: "K 2; was K 4 before round 12",
    tree: "8 tokens; was none: a chain before round 12",
    temperature: "0; was 0.8 before round 12",
    seed: "7",
  });
});

it("names the penalties that change a logit", () => {
  const penalties = { presence: 0, frequency: 0.5, repetition: 1.2, last_n: 64, bias: [[42, -100]] };
  const run = reduceAll(emptyRun, [started({ sampling: { ...sampling, penalties } as Started["sampling"] })]);
  expect(words(run)).toMatchObject({
    "frequency penalty": "0.5",
    "repetition penalty": "1.2 over the last 64 tokens",
    "biased tokens": "1",
  });
  expect(Object.keys(words(run))).not.toContain("presence penalty");
});

it("names the kind of grammar that the output follows", () => {
  const grammar = { kind: "json_schema", text: "{}" } as const;
  expect(words(reduceAll(emptyRun, [started({ grammar })]))).toMatchObject({ output: "a JSON schema’s" });
  expect(Object.keys(words(begun))).not.toContain("output");
});

it("has no drafter in a plain run, and nothing before the start", () => {
  expect(words(reduceAll(emptyRun, [started({ k: 0 })]))).toMatchObject({ drafter: "none", depth: "plain" });
  expect(runSettings(emptyRun)).toEqual([]);
});

it("states that a run was stopped", () => {
  expect(endWords(begun)).toBeNull();
  expect(endWords(reduceAll(begun, [done({ finish_reason: "cancelled" })]))).toBe("stopped");
  expect(endWords(reduceAll(begun, [done()]))).toBe("finished");
});
