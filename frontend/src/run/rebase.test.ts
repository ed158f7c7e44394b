import { describe, expect, it } from "vitest";
import { done, metrics, roundOf, started } from "../testing/messages";
import { STARTED_REMOTE, VALUES } from "../testing/runs";
import { openLive, receive, showEvents } from "./playback";
import { baselineFrom, rebase } from "./rebase";
import { emptyRun, reduceAll } from "./reducer";

const values = {
  ...VALUES,
  effective_tps: 50,
  overall_tps: 40,
  baseline_tps: 100,
  speedup: 0.5,
  overall_speedup: 0.4,
};
const events = [
  started(),
  ...roundOf(0, ["a"], 1, "b").slice(0, -1),
  metrics(0, 1, values),
  ...roundOf(1, ["c"], 1, "d").slice(0, -1),
  metrics(1, 1, values),
  done({ metrics: values }),
];
const plainEnd = done({ total_tokens: 32, metrics: { ...VALUES, overall_tps: 20 }, departure: null });
const plain = reduceAll(emptyRun, [started({ k: 0, prompt_tokens: 9 }), plainEnd]);
const play = showEvents(receive(openLive("real"), events), 5);

describe("a run that is judged anew", () => {
  it("has every figure relative to the plain run, in every round", () => {
    const judged = rebase(play, plain);
    expect(judged?.full.done?.metrics).toMatchObject({ baseline_tps: 20, speedup: 2.5, overall_speedup: 2 });
    expect(judged?.full.rounds.map((round) => round.metrics?.speedup)).toEqual([2.5, 2.5]);
    expect(judged?.full.started?.baseline).toEqual({
      tps: 20,
      tokens: 32,
      context_tokens: 9,
      age_s: 0,
      kind: "plain_run",
    });
  });

  it("is shown at the same place, with the same tokens", () => {
    const judged = rebase(play, plain);
    expect(judged?.cursor).toBe(5);
    expect(judged?.shown.rounds.map((round) => round.emitted)).toEqual(
      play.shown.rounds.map((round) => round.emitted),
    );
  });

  it("of a remote target has one call per token as its other baseline", () => {
    const remote = receive(openLive("real"), [STARTED_REMOTE, ...events.slice(1)]);
    const judged = rebase(remote, plain);
    expect(judged?.full.done?.metrics).toMatchObject({
      baseline_tps: 100,
      per_call_tps: 20,
      per_call_speedup: 2.5,
    });
    expect(judged?.full.started?.baseline).toBe(STARTED_REMOTE.baseline);
  });

  it("knows where its greedy text departs from the plain one", () => {
    const departure = { position: 3, plain_token: "x", speculative_token: "y", margin: 0.1 };
    const parted = reduceAll(emptyRun, [started(), { ...plainEnd, departure }]);
    expect(rebase(play, parted)?.full.done?.departure).toBe(departure);
  });

  it("is not judged by a plain run that is stopped, short, or beside other runs", () => {
    const shared = { metrics: { ...plainEnd.metrics, shared_rounds: 2 } };
    for (const changes of [{ finish_reason: "cancelled" }, { total_tokens: 15 }, shared] as const) {
      const ended = reduceAll(emptyRun, [started(), { ...plainEnd, ...changes }]);
      expect(baselineFrom(ended)).toBeNull();
      expect(rebase(play, ended)).toBeNull();
    }
  });
});
