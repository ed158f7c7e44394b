import { expect, it } from "vitest";
import { metricsOf, USAGE } from "../testing/runs";
import { aheadMs, timeParts } from "./times";

it("has no time of drafting ahead without a remote target, or if it is too short to show", () => {
  const metrics = { ...metricsOf(0, 4, 3, 4), hidden_draft_ms: 0.3 };
  expect(aheadMs(metrics)).toBe(0);
  expect(aheadMs({ ...metrics, round_usage: USAGE })).toBe(0.3);
  expect(aheadMs({ ...metrics, round_usage: USAGE, hidden_draft_ms: 0.02 })).toBe(0);
});

it("splits a round's time into parts that add up to it", () => {
  const metrics = metricsOf(0, 4, 3, 4);
  const sum = timeParts(metrics).reduce((total, { ms }) => total + ms, 0);
  expect(sum).toBeCloseTo(metrics.round_ms);
});
