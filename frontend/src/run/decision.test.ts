import { describe, expect, it } from "vitest";
import type { ServerMessage, VerifyResult } from "../protocol/generated";
import { draft, started, verdict } from "../testing/messages";
import { decisionOf, redrawOf } from "./decision";
import { emptyRun, reduceAll } from "./reducer";
import { tokenByKey } from "./selectors";

const AXIS: VerifyResult["compared"] = [
  { token: "a", token_id: 1, target_prob: 0.2, draft_prob: 0.5 },
  { token: "b", token_id: 2, target_prob: 0.6, draft_prob: 0.3 },
  { token: "c", token_id: 3, target_prob: 0.2, draft_prob: 0.2 },
];
const FAILED = { target_prob: 0.2, draft_prob: 0.5, acceptance_prob: 0.4, uniform: 0.75, token_id: 1 };
const rejected = verdict(
  { round: 0, node: 0, position: 0, status: "rejected", text: "" },
  { ...FAILED, compared: AXIS },
);
const resampled = (changes: Partial<VerifyResult> = {}) =>
  verdict(
    { round: 0, node: null, position: 0, status: "resampled", text: "b" },
    {
      token_id: 2,
      target_prob: 1,
      residual_top_tokens: [{ token: "b", token_id: 2, logprob: 0 }],
      ...changes,
    },
  );

function decisionIn(
  key: string,
  events: readonly ServerMessage[],
  rule: "token" | "block" | "match" = "token",
) {
  const run = reduceAll(emptyRun, [started({ rule }), { ...draft(0, 0, "a"), token_id: 1 }, ...events]);
  const token = tokenByKey(run, key);
  if (!token) throw new Error("missing");
  return { token, decision: decisionOf(run, token) };
}

describe("a decision", () => {
  it("divides p and q of the same tokens into what they share and the rest", () => {
    const { decision } = decisionIn("0:0", [rejected]);
    expect(
      decision?.rows.map(({ label, overlap, residual, excess }) => [label, overlap, residual, excess]),
    ).toEqual([
      ["a", 0.2, 0, 0.3],
      ["b", 0.3, 0.3, 0],
      ["c", 0.2, 0, 0],
    ]);
    expect(decision?.partial).toBe(false);
  });

  it("has the needle at u q, which is in min(p, q) exactly if the token is accepted", () => {
    const needleAt = (uniform: number) =>
      decisionIn("0:0", [{ ...rejected, uniform }]).decision?.needle ?? Number.NaN;
    expect(needleAt(0.75)).toBeGreaterThan(0.2);
    expect(needleAt(0.39)).toBeLessThan(0.2);
    expect(decisionIn("0:0", [rejected], "block").decision?.needle).toBeNull();
  });

  it("of a resampled token is that of the failed test", () => {
    const { token, decision } = decisionIn("0:+", [rejected, resampled()]);
    expect(decision?.tested?.key).toBe("0:0");
    expect(decision?.emitted?.key).toBe("0:+");
    expect(decision?.rows).toHaveLength(3);
    expect(redrawOf(token).get(2)).toBe(1);
  });

  it("of a token that the target drew first is its own", () => {
    const compared = [{ token: "b", token_id: 2, target_prob: 0.6, draft_prob: null }];
    const { decision } = decisionIn("0:+", [rejected, resampled({ compared })], "match");
    expect(decision?.tested).toBeNull();
    expect(decision?.rows).toEqual([
      { tokenId: 2, label: "b", p: 0.6, q: null, overlap: 0.6, residual: 0, excess: 0 },
    ]);
  });

  it("has the tested token alone if nothing else was reported, as in older traces", () => {
    const { decision } = decisionIn("0:0", [{ ...rejected, compared: [] }]);
    expect(decision?.rows.map(({ p, q }) => [p, q])).toEqual([[0.2, 0.5]]);
    expect(decision?.partial).toBe(true);
  });

  it("is unknown without probabilities", () => {
    const bare = { ...rejected, compared: [], target_prob: null, draft_prob: null };
    expect(decisionIn("0:0", [bare]).decision).toBeNull();
    expect(decisionIn("0:0", []).decision).toBeNull();
  });
});
