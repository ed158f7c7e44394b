import { describe, expect, it } from "vitest";
import { formFrom, noChoices } from "../app/form";
import type { MetricValues, SettingsInfo } from "../protocol/generated";
import { emptyRun, reduceAll } from "../run/reducer";
import { done, started, updated } from "../testing/messages";
import { acceptanceNote, passRatio } from "./passes";

const TIMES = [
  { tokens: 1, ms: 50 },
  { tokens: 4, ms: 90 },
  { tokens: 5, ms: 151 },
  { tokens: 7, ms: 400 },
];

describe("passRatio", () => {
  it("compares the pass of a round with a single pass, if both were measured", () => {
    expect(passRatio(TIMES, 3)).toBe(1.8);
    expect(passRatio(TIMES, 5)).toBeNull();
  });
});

describe("the note that acceptance is the measure", () => {
  const formOf = (drafter: string, k: number, nodes = 0) => {
    const about = { title: "", help: "", paper: "", trees: true, available: true, reason: null };
    const settings = {
      ranges: {},
      defaults: {},
      drafters: [{ name: drafter, ...about }],
      rules: [{ name: "token", title: "", help: "", label: "exact", trees: true }],
    } as unknown as SettingsInfo;
    return formFrom(settings, { ...noChoices, numbers: { k, nodes } });
  };
  const runOf = (tokens: number | null, changes: Partial<MetricValues> = {}) =>
    reduceAll(emptyRun, [
      started({ drafter: "eagle", k: 4 }),
      done({
        metrics: { ...done().metrics, speedup: 0.7, mean_acceptance_length: tokens, ...changes },
      }),
    ]);

  it("appears if a pass over the draft costs more than a run gained by it", () => {
    expect(acceptanceNote(TIMES, formOf("eagle", 4), runOf(2.1))).toBe(
      "A pass over 5 tokens costs 3.02 single passes here. To gain, a round must emit more tokens than that, " +
        "but it emitted 2.10. On this machine acceptance is the measure of this drafter, not speed.",
    );
  });

  it("is absent if the drafter gains enough, or if the run gained nevertheless", () => {
    expect(acceptanceNote(TIMES, formOf("eagle", 4), runOf(3.4))).toBeNull();
    expect(acceptanceNote(TIMES, formOf("eagle", 4), runOf(2.1, { speedup: 1.1 }))).toBeNull();
  });

  it("needs no run if no acceptance could gain, as with a large tree", () => {
    expect(acceptanceNote(TIMES, formOf("eagle", 4, 6), null)).toMatch(
      /^A pass over 7 tokens costs 8\.00 .* more tokens than that, but it can emit at most 5\. On this machine/,
    );
    expect(acceptanceNote(TIMES, formOf("eagle", 4), null)).toBeNull();
  });

  it("compares no run that had other settings", () => {
    expect(acceptanceNote(TIMES, formOf("eagle", 3), runOf(1.1))).toBeNull();
    expect(acceptanceNote(TIMES, formOf("medusa", 4), runOf(1.1))).toBeNull();
    const changed = reduceAll(runOf(null), [updated({ drafter: "eagle", k: 4, round: 5 })]);
    const run = { ...changed, updates: [updated({ drafter: "eagle", k: 2 }), ...changed.updates] };
    expect(acceptanceNote(TIMES, formOf("eagle", 4), { ...run, done: runOf(1.1).done })).toBeNull();
  });

  it("is for trained drafters with measured pass times", () => {
    const ngram = reduceAll(emptyRun, [started({ drafter: "ngram", k: 4 }), runOf(1.1).done ?? done()]);
    expect(acceptanceNote(TIMES, formOf("ngram", 4), ngram)).toBeNull();
    expect(acceptanceNote([], formOf("eagle", 4), runOf(1.1))).toBeNull();
    expect(acceptanceNote(TIMES, formOf("eagle", 4), runOf(null))).toBeNull();
  });
});
