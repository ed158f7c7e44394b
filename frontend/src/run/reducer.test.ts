import { describe, expect, it } from "vitest";
import type { Shadow } from "../protocol/generated";
import { done, draft, failure, roundOf, started, treeOf, warning } from "../testing/messages";
import type { Run } from "./model";
import { emptyRun, reduce, reduceAll } from "./reducer";
import { visibleText } from "./selectors";

const emitted = (run: Run) => run.rounds.flatMap((round) => round.emitted);
const begun = reduce(emptyRun, started());

describe("reduce", () => {
  it("builds a rejected round: accepted, rejected, discarded, and the replacement", () => {
    const run = reduceAll(begun, roundOf(0, ["a", "b", "c"], 1, "d"));
    const round = run.rounds[0];
    expect(round?.drafted.map((token) => token.status)).toEqual(["accepted", "rejected", "discarded"]);
    expect(round?.emitted.map((token) => [token.key, token.status, token.text, token.parent])).toEqual([
      ["0:0", "accepted", "a", null],
      ["0:+", "resampled", "d", 0],
    ]);
    expect(round?.metrics).not.toBeNull();
    expect(visibleText(run)).toBe("ad");
  });

  it("shows a drafted token as pending, with its own label, until its verdict", () => {
    const run = reduce(begun, draft(0, 0, "\\xf0\\x9f"));
    expect(run.rounds[0]?.drafted[0]).toMatchObject({ status: "pending", label: "\\xf0\\x9f", text: "" });
    expect(emitted(run)).toEqual([]);
  });

  it("builds plain and bonus rounds", () => {
    const run = reduceAll(begun, [...roundOf(0, [], 0, "x"), ...roundOf(1, ["y"], 1, "z")]);
    expect(emitted(run).map((token) => token.status)).toEqual(["plain", "accepted", "bonus"]);
  });

  it("keeps the objects of rounds and tokens that an event does not change", () => {
    const before = reduceAll(begun, [...roundOf(0, ["a"], 1, "b"), draft(1, 0, "c")]);
    const after = reduce(before, draft(1, 1, "d"));
    expect(after.rounds[0]).toBe(before.rounds[0]);
    expect(after.rounds[1]?.drafted[0]).toBe(before.rounds[1]?.drafted[0]);
    expect(after.rounds[1]).not.toBe(before.rounds[1]);
  });

  it("ignores events of other runs, and starts again with a new run", () => {
    const run = reduceAll(begun, roundOf(0, ["a"], 1, "b"));
    expect(reduce(run, { ...draft(1, 0, "c"), run: "other" })).toBe(run);
    const next = reduce(run, started({ run: "next" }));
    expect(next).toMatchObject({ id: "next", phase: "running", rounds: [], done: null });
  });

  it("ends with done or with a failure, and a run that goes on after an error has not failed", () => {
    expect(reduce(begun, done()).phase).toBe("done");
    expect(reduce(begun, done({ finish_reason: "error" })).phase).toBe("failed");
    const failed = reduce(begun, failure());
    expect(failed).toMatchObject({ phase: "failed", failure: { hint: "Mend it." } });
    expect(reduce(failed, draft(0, 0, "a")).phase).toBe("running");
    expect(reduce(reduce(begun, done()), failure()).phase).toBe("done");
  });

  it("has the drafters, the rule, and the last drafts of the shadow drafters", () => {
    const tree = [
      { word: "a", parent: null, status: "accepted", source: "ngram" },
      { word: "b", parent: null, status: "discarded" },
    ] as const;
    const run = reduceAll(emptyRun, [
      started({ rule: "match" }),
      ...treeOf(0, tree, "c"),
      ...treeOf(1, tree, "d"),
    ]);
    expect(run.sources).toEqual(["ngram", "model"]);
    expect(run.rounds[0]?.emitted.map(({ rule }) => rule)).toEqual(["match", "match"]);
    expect(run.shadow).toBeNull();
    const frame = { type: "shadow", run: "r", seq: 0, t_ms: 0 } as const;
    const shadow = (round: number): Shadow => ({ ...frame, round, guesses: [], scores: [] });
    expect(reduceAll(run, [shadow(0), shadow(1)]).shadow?.round).toBe(1);
    expect(reduce(run, started()).sources).toEqual([]);
  });

  it("keeps each warning once, from its first round on, and none of an earlier run", () => {
    const run = reduceAll(begun, [
      warning({ round: 3 }),
      warning({ round: 4 }),
      warning({ round: 4, hint: "Wait." }),
      warning({ round: 5, message: "The target is slow." }),
    ]);
    expect(run.warnings.map(({ round, message, hint }) => [round, message, hint])).toEqual([
      [3, "The drafter failed.", "Choose another drafter."],
      [4, "The drafter failed.", "Wait."],
      [5, "The target is slow.", "Choose another drafter."],
    ]);
    expect(reduce(run, warning({ round: 9 })).warnings).toBe(run.warnings);
    expect(reduce(run, warning({ run: "other", message: "Another run's." }))).toBe(run);
    expect(reduce(run, started({ run: "next" })).warnings).toEqual([]);
  });

  it("has the position in the queue", () => {
    const queued = reduce(emptyRun, { type: "queued", run: "r", seq: 0, t_ms: 0, place: 2 });
    expect(queued).toMatchObject({ phase: "queued", queued: { place: 2 } });
    expect(reduce(queued, started())).toMatchObject({ phase: "running", queued: { place: 2 } });
  });
});
