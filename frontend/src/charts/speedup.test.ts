import { describe, expect, it } from "vitest";
import type { Metrics, MetricValues } from "../protocol/generated";
import type { Run } from "../run/model";
import { IDLE, metricsOf, REMOTE, STARTED, STARTED_REMOTE, VALUES } from "../testing/runs";
import { ageText, baselineOf, speedupOf } from "./speedup";

const GOOD = {
  ...VALUES,
  rounds: 3,
  drafted: 12,
  accepted: 9,
  effective_tps: 16.4,
  baseline_tps: 13.2,
  speedup: 1.24,
};

function runWith(values: Partial<MetricValues>, more: Partial<Run> = {}): Run {
  const latest: Metrics = { ...metricsOf(2, 4, 3, 4), t_ms: 8000, ...GOOD, ...values };
  return { ...IDLE, phase: "running", started: STARTED, latest, ...more };
}

describe("speedup", () => {
  it("names the baseline, and the age of its measurement", () => {
    expect(speedupOf(runWith({}))).toEqual({
      kind: "figure",
      speedup: 1.24,
      tps: 16.4,
      baselineTps: 13.2,
      words: "plain",
      basis: "measured (16 tokens at start, 48 s earlier)",
    });
  });

  it("names a full plain run", () => {
    const baseline = { tps: 13.2, tokens: 151, context_tokens: 180, age_s: 5, kind: "plain_run" } as const;
    expect(speedupOf(runWith({}, { started: { ...STARTED, baseline } }))).toMatchObject({
      basis: "measured (full plain run, 151 tokens, 13 s earlier)",
    });
    const own = { ...baseline, age_s: 0 };
    expect(speedupOf(runWith({}, { started: { ...STARTED, baseline: own } }))).toMatchObject({
      basis: "measured (full plain run of this prompt, 151 tokens)",
    });
  });

  it("does not describe a baseline that changed since the start", () => {
    expect(speedupOf(runWith({ baseline_tps: 12.1 }))).toMatchObject({
      baselineTps: 12.1,
      basis: "measured",
    });
  });

  it("is not claimed for unverified output", () => {
    const started = { ...STARTED, exactness: { label: "unverified", reason: "" } } as const;
    expect(speedupOf(runWith({}, { started }))).toMatchObject({
      kind: "none",
      tps: 16.4,
      reason: /not claimed/,
    });
  });

  it("is unknown without a baseline", () => {
    const none = speedupOf(runWith({ baseline_tps: null, speedup: null }));
    expect(none).toMatchObject({ kind: "none", reason: "the target alone has not been measured yet" });
  });

  it("has no figure for a plain run", () => {
    const plain = runWith({ drafted: 0, accepted: 0, speedup: 1 });
    const latest = plain.latest && { ...plain.latest, k: 0 };
    expect(speedupOf({ ...plain, latest })).toMatchObject({ kind: "none", reason: /plain run/ });
  });

  it("has the figures of the whole run after its end", () => {
    const done = { ...({} as NonNullable<Run["done"]>), t_ms: 9000, metrics: { ...GOOD, speedup: 1.19 } };
    expect(speedupOf(runWith({}, { done }))).toMatchObject({ speedup: 1.19 });
  });

  it("is empty before a run", () => {
    expect(speedupOf(IDLE)).toMatchObject({ kind: "none", tps: null });
  });
});

describe("speedup of a remote target", () => {
  const values = {
    effective_tps: 15.5,
    baseline_tps: 12.5,
    speedup: 1.24,
    per_call_tps: 7.75,
    per_call_speedup: 2,
  };
  const started = STARTED_REMOTE;

  it("is relative to one streaming call, or on demand to one call per token", () => {
    const run = runWith(values, { started });
    expect(speedupOf(run)).toEqual({
      kind: "figure",
      speedup: 1.24,
      tps: 15.5,
      baselineTps: 12.5,
      words: "streaming",
      basis: "measured (16 tokens, 48 s earlier)",
    });
    expect(speedupOf(run, "per_call")).toEqual({
      kind: "figure",
      speedup: 2,
      tps: 15.5,
      baselineTps: 7.75,
      words: "with one call per token",
      basis: "measured (151 tokens, 5 min earlier)",
    });
    expect(baselineOf(run, "per_call")).toMatchObject({ name: "per call", tps: 7.75 });
  });

  it("is unknown for a baseline that was not measured, with the reason", () => {
    const unknown = { ...values, per_call_tps: null, per_call_speedup: null };
    expect(speedupOf(runWith(unknown, { started }), "per_call")).toEqual({
      kind: "none",
      tps: 15.5,
      reason: "one call per token has not been measured yet",
    });
    const spared = { ...started, remote: { ...REMOTE, warning: "Few calls are left." } };
    const none = { ...unknown, baseline_tps: null, speedup: null };
    expect(speedupOf(runWith(none, { started: spared }))).toMatchObject({
      reason: "one streaming call was not measured, because the endpoint allows few calls",
    });
  });

  it("is not claimed for either after an unverified round", () => {
    const run = runWith(values, { started, weakest: "unverified" });
    for (const baselineKind of ["streaming", "per_call"] as const) {
      expect(speedupOf(run, baselineKind)).toMatchObject({ kind: "none", reason: /not claimed/ });
    }
  });

  it("describes a plain run of a remote target", () => {
    const plain = runWith({ ...values, drafted: 0 }, { started });
    const latest = plain.latest && { ...plain.latest, k: 0 };
    expect(speedupOf({ ...plain, latest })).toMatchObject({ reason: /decodes alone, one call per token$/ });
  });
});

it("is none where auto has chosen plain decoding in every round", () => {
  const plain = runWith({ drafted: 0, rounds: 3 }, { started: { ...STARTED, policy: "auto", k: 12 } });
  const latest = plain.latest && { ...plain.latest, k: 0 };
  expect(speedupOf({ ...plain, latest })).toMatchObject({ kind: "none", reason: /^auto has chosen plain/ });
  const asked = { ...plain, latest, started: { ...STARTED, policy: "auto", k: 0 } };
  expect(speedupOf(asked)).toMatchObject({ reason: /^a plain run/ });
});

it("formats ages", () => {
  expect([40, 300, 3 * 3600].map(ageText)).toEqual(["40 s", "5 min", "3 h"]);
});
