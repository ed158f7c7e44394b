import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { LEAST } from "../../theory/rule";
import { recordedRule } from "./recordedRule";

const RUN = reduceAll(emptyRun, parseRecording(readFileSync("public/recording.jsonl", "utf8"))?.events ?? []);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

it("takes five tokens of a rejected draft, with the rejected one and its replacement", () => {
  const found = recordedRule(RUN);
  expect(found?.tokens).toHaveLength(5);
  expect(found?.tokens).toEqual(expect.arrayContaining(["·takes", "·uses"]));
  for (const distribution of [found?.p ?? [], found?.q ?? []]) {
    expect(sum(distribution)).toBeCloseTo(1, 9);
    expect(Math.min(...distribution)).toBeGreaterThanOrEqual(LEAST - 1e-12);
  }
  const rejected = found?.tokens.indexOf("·takes") ?? -1;
  expect(found?.p[rejected]).toBeLessThan(found?.q[rejected] ?? 0);
});

it("takes nothing from a run without drafts", () => {
  expect(recordedRule(emptyRun)).toBeNull();
});
