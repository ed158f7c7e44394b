import { describe, expect, it } from "vitest";
import { metrics, started, updated } from "../testing/messages";
import { exactnessOf, weaker } from "./exactness";
import { emptyRun, reduceAll } from "./reducer";

const declared = (label: "exact" | "bounded", reason = "So it was declared.") =>
  started({ exactness: { label, reason } });

describe("the exactness of a run", () => {
  it("is the declared label if no round is weaker", () => {
    const run = reduceAll(emptyRun, [declared("bounded"), metrics(0, 2, { exactness: "exact" })]);
    expect(exactnessOf(run)).toEqual({ label: "bounded", reason: "So it was declared." });
    expect(exactnessOf(emptyRun)).toBeNull();
  });

  it("is the label of its weakest round, whatever follows", () => {
    const run = reduceAll(emptyRun, [
      declared("exact"),
      metrics(0, 2, { exactness: "unverified" }),
      metrics(1, 2, { exactness: "exact" }),
      updated({ round: 2 }),
    ]);
    expect(run.weakest).toBe("unverified");
    expect(exactnessOf(run)).toMatchObject({ label: "unverified", reason: /some rounds .* unverified/ });
  });

  it("starts again with a new run", () => {
    const run = reduceAll(emptyRun, [declared("exact"), metrics(0, 2, { exactness: "bounded" })]);
    expect(reduceAll(run, [declared("exact")]).weakest).toBeNull();
  });

  it("orders the labels", () => {
    expect(weaker("exact", "exact-greedy")).toBe("exact-greedy");
    expect(weaker("lossy", "bounded")).toBe("lossy");
    expect(weaker("unverified", "lossy")).toBe("unverified");
  });
});
