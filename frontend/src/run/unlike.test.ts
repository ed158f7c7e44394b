import { describe, expect, it } from "vitest";
import type { Metrics, PassTime, Started } from "../protocol/generated";
import { IDLE, metricsOf, REMOTE, STARTED } from "../testing/runs";
import type { Run } from "./model";
import { NOTED, notedPasses, UNLIKE, unlikePasses } from "./unlike";

const PLAIN_TPS = 1000 / 31;
const TIMES: PassTime[] = [30, 36, 44, 52, 60].map((ms, at) => ({ tokens: at + 1, ms }));

const round = (index: number, drafted: number, verify_ms: number): Metrics => ({
  ...metricsOf(index, drafted, 0, 1),
  verify_ms,
  round_ms: verify_ms + 1,
});

function runOf(
  passes: readonly (readonly [drafted: number, ms: number])[],
  changes: Partial<Started> = {},
): Run {
  const rounds = passes.map(([drafted, ms], index) => round(index, drafted, ms));
  return {
    ...IDLE,
    started: { ...STARTED, pass_times: TIMES, ...changes },
    rounds: rounds.map((metrics, index) => ({ index, drafted: [], emitted: [], metrics })),
    latest: { ...(rounds.at(-1) as Metrics), window_rounds: 50 },
  };
}
const times = (count: number, drafted: number, ms: number) =>
  Array.from({ length: count }, () => [drafted, ms] as const);

describe("passes of one token", () => {
  it("are compared with the baseline's time per token, by their median", () => {
    const run = runOf([...times(5, 0, 64), [0, 900], [0, 10]]);
    expect(unlikePasses(run, PLAIN_TPS)).toEqual({ rows: 1, runMs: 64, baselineMs: 31, contextTokens: null });
  });

  it("say it too where the baseline was the slower one", () =>
    expect(unlikePasses(runOf(times(5, 0, 31)), 1000 / 64)).toMatchObject({ runMs: 31, baselineMs: 64 }));

  it("count before those of drafts, whose table is from another time", () =>
    expect(unlikePasses(runOf([...times(9, 4, 300), ...times(4, 0, 32)]), PLAIN_TPS)).toBeNull());

  it("are alike below the limit, in either direction", () => {
    for (const ms of [31 * (UNLIKE - 0.05), 31 / (UNLIKE - 0.05)])
      expect(unlikePasses(runOf(times(6, 0, ms)), PLAIN_TPS)).toBeNull();
    expect(unlikePasses(runOf(times(6, 0, 31 * (UNLIKE + 0.05))), PLAIN_TPS)).not.toBeNull();
  });

  it("are worth a word below that limit, and none at all where they hardly differ", () => {
    for (const factor of [NOTED + 0.05, UNLIKE - 0.05, 1 / (NOTED + 0.05)])
      expect(notedPasses(runOf(times(6, 0, 31 * factor)), PLAIN_TPS)).toMatchObject({
        rows: 1,
        baselineMs: 31,
      });
    for (const factor of [1, NOTED - 0.05, UNLIKE + 0.05])
      expect(notedPasses(runOf(times(6, 0, 31 * factor)), PLAIN_TPS)).toBeNull();
  });

  it("are not judged by a few of them, or by fractions of a millisecond", () => {
    expect(unlikePasses(runOf(times(3, 0, 64)), PLAIN_TPS)).toBeNull();
    expect(unlikePasses(runOf(times(9, 0, 1.2)), 1000 / 0.4)).toBeNull();
  });
});

describe("passes over drafts", () => {
  it("are compared with their measured time, at the speed of the baseline", () => {
    const run = runOf([...times(6, 4, 140), [3, 90]]);
    expect(unlikePasses(run, PLAIN_TPS)).toMatchObject({
      rows: 5,
      runMs: 140,
      baselineMs: expect.closeTo((60 * 31) / 30),
    });
  });

  it("are alike once the baseline was measured under the same load", () =>
    expect(unlikePasses(runOf(times(6, 4, 140)), 1000 / 66)).toBeNull());

  it("show that the baseline of the server's start was the slower one", () => {
    const unlike = unlikePasses(runOf(times(6, 4, 62)), 1000 / 90);
    expect(unlike).toMatchObject({ rows: 5, runMs: 62, baselineMs: expect.closeTo((60 * 90) / 30) });
  });

  it("never make a plain run of the page the slower one: load slows down passes of one token most", () => {
    const baseline = { tps: 1000 / 90, tokens: 16, context_tokens: 60, age_s: 1, kind: "plain_run" } as const;
    expect(unlikePasses(runOf(times(6, 4, 62), { baseline }), baseline.tps)).toBeNull();
  });

  it("are unknown without a table of this size", () => {
    expect(unlikePasses(runOf(times(6, 7, 400)), PLAIN_TPS)).toBeNull();
    expect(unlikePasses(runOf(times(6, 4, 400), { pass_times: [] }), PLAIN_TPS)).toBeNull();
  });
});

it("is unknown for rounds that other runs shared, for a remote target and for a run of another server", () => {
  const slow = runOf(times(6, 0, 64));
  const shared = slow.rounds.map((one) => ({ ...one, metrics: one.metrics && { ...one.metrics, runs: 2 } }));
  expect(unlikePasses({ ...slow, rounds: shared }, PLAIN_TPS)).toBeNull();
  expect(unlikePasses(runOf(times(6, 0, 64), { remote: REMOTE }), PLAIN_TPS)).toBeNull();
});

it("names the context where the text grew much longer than the baseline's", () => {
  const long = runOf(times(6, 0, 64), { prompt_tokens: 1800 });
  expect(unlikePasses(long, PLAIN_TPS)?.contextTokens).toBeGreaterThanOrEqual(1800);
});
