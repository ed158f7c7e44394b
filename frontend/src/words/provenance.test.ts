import { expect, it } from "vitest";
import { STARTED } from "../testing/runs";
import { learnProvenance, measuredTogether, runProvenance, savedOn } from "./provenance";

const HEADER = { created: "2026-11-22T00:58:50+00:00", machine: "a machine, 2 cores", speculatoviz: "0.1.0" };

it("names program, models, settings, machine, date and run", () => {
  const line = runProvenance({ ...STARTED, run: "abcd", seed: 7 }, HEADER);
  expect(line).toMatch(/^SpeculatoViz 0\.1\.0 · /);
  for (const part of [
    "seed 7",
    "temperature",
    "a machine, 2 cores",
    "recorded 22 November 2026",
    "run abcd",
  ]) {
    expect(line).toContain(part);
  }
});

it("leaves out what is not known", () => {
  expect(runProvenance(null, null)).toBe("SpeculatoViz");
  expect(runProvenance({ ...STARTED, run: null }, null)).not.toMatch(/recorded|run |undefined|null/);
  expect(learnProvenance("The rule", "")).toMatch(/solid is measured$/);
  expect(measuredTogether("a race", null)).toBe("SpeculatoViz, a race");
  expect(savedOn("SpeculatoViz", "2026-11-29T00:00:00Z")).toBe("SpeculatoViz · saved 29 November 2026");
});
