import { describe, expect, it } from "vitest";
import { emptyRun, reduceAll } from "../../run/reducer";
import { done, failure, metrics, started } from "../../testing/messages";
import { REMOTE } from "../../testing/runs";
import { summary } from "./Announcer";

it("summarises a finished run, without an unmeasured speedup", () => {
  const metrics = { ...done().metrics, overall_speedup: null };
  const run = reduceAll(emptyRun, [
    started(),
    done({ total_tokens: 5, total_rounds: 2, total_accepted: 3, total_drafted: 4, metrics }),
  ]);
  expect(summary(run)).toBe("Run finished: 5 tokens in 2 rounds, 3 of 4 drafted tokens accepted.");
  expect(summary(reduceAll(emptyRun, [started(), failure()]))).toBe("Run failed: It broke. Mend it.");
  expect(summary(reduceAll(emptyRun, [started()]))).toBe("");
});

it("announces where a greedy text departs from plain decoding", () => {
  const departure = { position: 234, plain_token: "a", speculative_token: "b", margin: null };
  const run = reduceAll(emptyRun, [started(), done({ departure })]);
  expect(summary(run)).toMatch(/accepted\. It departs from plain decoding at token 235\.$/);
});

describe("the end of a run with a remote target", () => {
  const end = (label: "exact" | "bounded" | "unverified", bound = 0) => {
    const values = { ...done().metrics, overall_speedup: 1.37, total_variation_bound: bound };
    return summary(
      reduceAll(emptyRun, [
        started({ remote: REMOTE, exactness: { label, reason: "" } }),
        metrics(0, 2, { exactness: label }),
        done({ metrics: values }),
      ]),
    );
  };
  it("has the baseline of the speedup and the exactness", () => {
    expect(end("exact")).toMatch(/accepted, 1\.37 times the speed of one streaming call\.$/);
    expect(end("bounded", 0.034)).toMatch(
      / Bounded: a total variation of at most 0\.034 from the target's distribution\.$/,
    );
  });
  it("has no speedup if the run is unverified", () => {
    expect(end("unverified")).toMatch(/accepted\. Unverified: no speedup is claimed\.$/);
  });
});
