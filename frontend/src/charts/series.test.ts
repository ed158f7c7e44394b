import { describe, expect, it } from "vitest";
import type { Round, Run } from "../run/model";
import { timeParts } from "../run/times";
import { chain, IDLE, metricsOf, roundOf, STARTED, USAGE, VALUES } from "../testing/runs";
import { acceptanceHistory, bandOf, efficiencyOf, latencySeries, positionRates, speedSeries } from "./series";

const GOOD = {
  ...VALUES,
  rounds: 3,
  drafted: 12,
  accepted: 9,
};

describe("series", () => {
  const rounds: Round[] = Array.from({ length: 14 }, (_, i) => roundOf(i, chain("aar+")));
  const open = roundOf(14, chain("a?", false));
  const run: Run = { ...IDLE, started: STARTED, rounds: [...rounds, open] };

  it("have one entry per finished round, counted from 1", () => {
    expect(acceptanceHistory(run).map((point) => point.round)).toEqual(
      rounds.map((round) => round.index + 1),
    );
    expect(acceptanceHistory(run)[0]?.rate).toBeNull();
  });

  it("give each round its own speed", () => {
    const ms = rounds[0]?.metrics?.round_ms ?? 0;
    expect(speedSeries(run)[0]).toEqual({ round: 1, perRound: 3000 / ms, running: null });
  });

  it("show the last ten rounds' times", () => {
    expect(latencySeries(run).map((row) => row.round)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  });

  it("hold the time of drafting ahead apart from the parts", () => {
    const metrics = { ...metricsOf(0, 4, 3, 4), hidden_draft_ms: 77, round_usage: USAGE };
    const [row] = latencySeries({ ...IDLE, rounds: [{ ...roundOf(0, chain("aaar+")), metrics }] });
    expect(row).toMatchObject({ ahead: 77, total: metrics.round_ms });
    expect(timeParts(metrics).reduce((total, { ms }) => total + ms, 0)).toBeCloseTo(metrics.round_ms);
  });
});

it("colours acceptance red under 50 %, yellow to 75 %, green above", () => {
  expect([0.49, 0.5, 0.74, 0.75].map(bandOf)).toEqual(["low", "mid", "mid", "high"]);
});

it("counts the drafted tokens that were not accepted", () => {
  expect(efficiencyOf({ ...GOOD, bonus: 1, resampled: 2, tokens: 12 })).toEqual({
    drafted: 12,
    accepted: 9,
    notAccepted: 3,
    bonus: 1,
    resampled: 2,
    plain: 0,
    tokens: 12,
  });
});

it("pairs both rates of a position, null if unknown", () => {
  const values = {
    ...GOOD,
    per_position_acceptance_rate: [0.8, 0],
    conditional_acceptance_rate: [0.9, null],
  };
  expect(positionRates(values)).toEqual([
    { position: 1, rate: 0.8, conditional: 0.9 },
    { position: 2, rate: 0, conditional: null },
  ]);
});
