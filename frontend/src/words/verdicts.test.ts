import { describe, expect, it } from "vitest";
import type { VerifyResult } from "../protocol/generated";
import type { RuleName } from "../run/model";
import { emptyRun, reduceAll } from "../run/reducer";
import { tokenByKey } from "../run/selectors";
import { failedTest } from "../run/token";
import { draft, started, verdict } from "../testing/messages";
import { tokenFacts } from "./facts";
import { statusHelp, verdictSentence } from "./verdicts";

function judged(
  rule: RuleName,
  status: VerifyResult["status"],
  changes: Partial<VerifyResult>,
  temperature = 0.7,
) {
  const events = [
    started({ rule, sampling: { ...started().sampling, temperature } }),
    draft(0, 0, "a"),
    verdict({ round: 0, node: 0, position: 0, status, text: "" }, changes),
  ];
  const token = tokenByKey(reduceAll(emptyRun, events), "0:0");
  if (!token) throw new Error("missing");
  return token;
}
const terms = (rule: RuleName) =>
  tokenFacts(judged(rule, "accepted", { acceptance_prob: 0.5 })).map(({ term }) => term);

describe("block verification", () => {
  const tested = { acceptance_prob: 0.4, uniform: 0.75 };

  it("tests prefixes", () => {
    expect(verdictSentence(judged("block", "accepted", { acceptance_prob: 0.8, uniform: 0.2 }))).toBe(
      "Accepted: the prefix of this token alone has the acceptance probability 80 %, and the uniform, 0.200, is below it.",
    );
    expect(verdictSentence(judged("block", "accepted", { acceptance_prob: 0.4 }))).toMatch(
      /a prefix that contains this token was accepted/,
    );
    expect(verdictSentence(judged("block", "discarded", tested))).toMatch(
      /^Discarded: .* 40 %.* 0\.750, is above it\.$/,
    );
  });

  it("discards the end of a prefix that failed its test", () => {
    expect(failedTest(judged("block", "discarded", tested))).toBe(true);
    expect(failedTest(judged("token", "discarded", {}))).toBe(false);
    expect(failedTest(judged("token", "rejected", {}))).toBe(true);
    expect(failedTest(judged("block", "accepted", tested))).toBe(false);
  });

  it("has its own name for its probability", () =>
    expect(terms("block")).toContain("prefix acceptance prob."));
});

describe("sample-and-match", () => {
  const words = (status: "accepted" | "rejected") =>
    verdictSentence(judged("match", status, { acceptance_prob: 0.25, target_prob: 0.25, draft_prob: 0.9 }));

  it("compares tokens, and has no uniform", () => {
    expect(words("accepted")).toMatch(/the target drew the same token, with probability 25 %/);
    expect(words("rejected")).toMatch(/the target drew another token; .* 25 %/);
    expect(words("rejected")).not.toMatch(/min\(1/);
    expect(terms("match")).toContain("match prob.");
    expect(terms("match")).not.toContain("uniform");
  });
});

describe("typical acceptance", () => {
  it("is called lossy in every decision", () => {
    const words = (status: "accepted" | "rejected", acceptance_prob: number) =>
      verdictSentence(judged("typical", status, { acceptance_prob, target_prob: 0.12 }));
    expect(words("accepted", 1)).toMatch(
      /probability of this token is 12 %, which is high enough\. The rule is lossy/,
    );
    expect(words("rejected", 0)).toMatch(/too low\. The rule is lossy/);
    expect(terms("typical")).toContain("target p");
    expect(terms("typical")).not.toContain("acceptance prob.");
  });

  it("discards probable enough tokens on a shorter path, which did not fail a test", () => {
    const token = judged("typical", "discarded", { acceptance_prob: 1, target_prob: 0.12 });
    expect(verdictSentence(token)).toMatch(/but another path is longer/);
    expect(failedTest(token)).toBe(false);
    expect(verdictSentence(judged("typical", "discarded", {}))).toMatch(/^Never tested: it follows a token/);
  });
});

describe("at temperature 0", () => {
  const greedy = (rule: RuleName, status: VerifyResult["status"]) =>
    verdictSentence(judged(rule, status, { acceptance_prob: Number(status === "accepted") }, 0));

  it("nothing is drawn: the target's most probable token replaces the draft's", () => {
    for (const rule of ["token", "block", "match"] as const) {
      expect(greedy(rule, "rejected")).toMatch(
        /^Rejected: .*most probable token, another one, replaces it\.$/,
      );
      expect(greedy(rule, "accepted")).toMatch(/^Accepted: at temperature 0/);
      expect(greedy(rule, "resampled")).toMatch(/nothing is drawn\.$/);
    }
    expect(greedy("typical", "accepted")).toMatch(/The rule is lossy/);
  });
});

it("explains every status under every rule", () => {
  for (const rule of ["token", "block", "match", "typical"] as const) {
    for (const status of ["accepted", "rejected", "resampled", "bonus", "discarded"] as const) {
      expect(statusHelp(status, rule)).not.toBe("");
    }
  }
  expect(statusHelp("accepted", "match")).not.toMatch(/p\/q/);
});
