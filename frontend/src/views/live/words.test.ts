import { describe, expect, it } from "vitest";
import type { Health } from "../../protocol/generated";
import { emptyRun, reduceAll } from "../../run/reducer";
import { done, failure, metrics, started } from "../../testing/messages";
import { REMOTE } from "../../testing/runs";
import { summary } from "./Announcer";
import { connectionState } from "./ConnectionBadge";
import { place } from "./TokenCard";

const health = (changes: Partial<Health>) =>
  ({ stage: "", progress: null, message: null, hint: null, ...changes }) as Health;

describe("words for how things stand", () => {
  it("says what the connection and the models do", () => {
    expect(connectionState("offline", null).word).toBe("offline");
    expect(
      connectionState("connected", health({ status: "loading", stage: "downloading", progress: 0.42 })).word,
    ).toBe("downloading 42 %");
    expect(connectionState("connected", health({ status: "loading", stage: "loading" })).word).toBe(
      "loading",
    );
    expect(
      connectionState("connected", health({ status: "failed", message: "No file.", hint: "Put it." })).detail,
    ).toBe("No file. Put it.");
    expect(connectionState("connected", health({ status: "ready" })).word).toBe("connected");
  });

  it("sums up a finished run, without a speedup that was not measured", () => {
    const metrics = { ...done().metrics, overall_speedup: null };
    const run = reduceAll(emptyRun, [
      started(),
      done({ total_tokens: 5, total_rounds: 2, total_accepted: 3, total_drafted: 4, metrics }),
    ]);
    expect(summary(run)).toBe("Run finished: 5 tokens in 2 rounds, 3 of 4 drafted tokens accepted.");
    expect(summary(reduceAll(emptyRun, [started(), failure()]))).toBe("Run failed: It broke. Mend it.");
    expect(summary(reduceAll(emptyRun, [started()]))).toBe("");
  });
});

it("tells a listener where a greedy text departs from plain decoding", () => {
  const departure = { position: 234, plain_token: "a", speculative_token: "b", margin: null };
  const run = reduceAll(emptyRun, [started(), done({ departure })]);
  expect(summary(run)).toMatch(/accepted\. It departs from plain decoding at token 235\.$/);
});

describe("the end of a run elsewhere, for who listens", () => {
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
  it("says against what it was faster, and how exact the text is", () => {
    expect(end("exact")).toMatch(/accepted, 1\.37 times the speed of one streaming call\.$/);
    expect(end("bounded", 0.034)).toMatch(
      / Bounded: a total variation of at most 0\.034 from the target's distribution\.$/,
    );
  });
  it("claims no speedup of what is unverified", () => {
    expect(end("unverified")).toMatch(/accepted\. Unverified: no speedup is claimed\.$/);
  });
});

describe("place of the card", () => {
  const view = { width: 1000, height: 800 };
  const box = (left: number, top: number) => new DOMRect(left, top, 20, 20);
  it("is below the token, above it near the bottom, and inside the window", () => {
    expect(place(box(100, 100), view)).toEqual({ left: 100, top: 126 });
    expect(place(box(100, 700), view)).toEqual({ left: 100, bottom: 106 });
    expect(place(box(990, 100), view).left).toBe(700);
  });
});
