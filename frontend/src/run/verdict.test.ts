import { describe, expect, it } from "vitest";
import type { Metrics, PassTime } from "../protocol/generated";
import { IDLE, metricsOf, STARTED } from "../testing/runs";
import type { Run } from "./model";
import { bestLever, levers, verdictOf } from "./verdict";

/** Passes over 1 to 5 tokens: three times as long for five. */
const TIMES: PassTime[] = [50, 60, 80, 110, 150].map((ms, at) => ({ tokens: at + 1, ms }));

function round(index: number, drafted: number, accepted: number): Metrics {
  const parts = {
    draft_ms: 10 * drafted,
    verify_ms: TIMES[drafted]?.ms ?? 0,
    network_ms: 0,
    evidence_ms: 0,
    other_ms: 0,
  };
  const round_ms = parts.draft_ms + parts.verify_ms;
  return { ...metricsOf(index, drafted, accepted, accepted + 1), ...parts, round_ms };
}

function runOf(rounds: readonly Metrics[], changes: Partial<Run> = {}): Run {
  return {
    ...IDLE,
    started: { ...STARTED, k: 4, pass_times: TIMES },
    rounds: rounds.map((metrics, index) => ({ index, drafted: [], emitted: [], metrics })),
    latest: rounds.at(-1) ?? null,
    ...changes,
  };
}
const PLAIN_TPS = 20;

describe("the verdict", () => {
  it("is tokens of a round by its time in plain passes, and its parts add up", () => {
    const run = runOf([round(0, 4, 4), round(1, 4, 1)]);
    const verdict = verdictOf(run, PLAIN_TPS);
    expect(verdict).toMatchObject({ tokens: 3.5, passes: 3.8 });
    expect(verdict?.speedup).toBeCloseTo(3.5 / 3.8);
    expect(Object.fromEntries(verdict?.parts.map(({ part, passes }) => [part, passes]) ?? [])).toMatchObject({
      draft: 0.8,
      verify: 3,
      network: 0,
    });
    const tokensPerSecond = (1000 * 7) / (190 + 190);
    expect(verdict?.speedup).toBeCloseTo(tokensPerSecond / PLAIN_TPS);
  });

  it("is about the last rounds while the run goes on, as the speedup is", () => {
    const last = { ...round(1, 4, 4), window_rounds: 1 };
    expect(verdictOf(runOf([round(0, 4, 0), last]), PLAIN_TPS)?.tokens).toBe(5);
  });

  it("is unknown before the first round", () => expect(verdictOf(runOf([]), PLAIN_TPS)).toBeNull());
});

describe("the depth that would change it", () => {
  it("is computed from the same rounds and the measured passes", () => {
    const run = runOf([round(0, 4, 1), round(1, 4, 1)]);
    // At K 1 each round drafts one token, which is accepted: 2 tokens in 10 + 60 ms.
    expect(levers(run, PLAIN_TPS).find(({ k }) => k === 1)?.speedup).toBeCloseTo(2 / 1.4);
    expect(bestLever(run, PLAIN_TPS)?.k).toBe(1);
  });

  it("keeps what a longer draft brings", () => {
    const run = runOf([round(0, 4, 4), round(1, 4, 4)]);
    const [one, two, three] = levers(run, PLAIN_TPS).map(({ speedup }) => speedup);
    const now = verdictOf(run, PLAIN_TPS)?.speedup ?? 0;
    expect([one, two, three].every((speedup) => speedup !== undefined)).toBe(true);
    // 5 tokens in 3.8 passes; at K 2, 3 tokens in 2.
    expect(two).toBeCloseTo(3 / 2);
    expect(now).toBeCloseTo(5 / 3.8);
  });

  it("saves no drafting where one pass computes the whole draft", () => {
    const run = runOf([round(0, 4, 1), round(1, 4, 1)]);
    const started = { ...STARTED, k: 4, pass_times: TIMES, drafter: "dflash" };
    // At K 1 each round still drafts for 40 ms: 2 tokens in 40 + 60 ms.
    expect(levers({ ...run, started }, PLAIN_TPS).find(({ k }) => k === 1)?.speedup).toBeCloseTo(2 / 2);
  });

  it("does not guess a pass that was not measured", () => {
    const run = runOf([round(0, 4, 1)]);
    const bare = {
      ...run,
      started: { ...STARTED, k: 4, pass_times: TIMES.filter(({ tokens }) => tokens !== 3) },
    };
    expect(levers(bare, PLAIN_TPS).map(({ k }) => k)).toEqual([1, 3]);
    expect(levers({ ...run, started: { ...STARTED, k: 4, pass_times: [] } }, PLAIN_TPS)).toEqual([]);
  });

  it("is not offered where a policy chooses the depth, or for a tree", () => {
    const run = runOf([round(0, 4, 1)]);
    for (const changes of [{ policy: "auto" }, { nodes: 20 }]) {
      const started = { ...STARTED, k: 4, pass_times: TIMES, ...changes };
      expect(levers({ ...run, started }, PLAIN_TPS)).toEqual([]);
    }
  });
});
