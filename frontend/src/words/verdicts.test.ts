import { describe, expect, it } from "vitest";
import type { VerifyResult } from "../protocol/generated";
import type { RuleName } from "../run/model";
import { emptyRun, reduceAll } from "../run/reducer";
import { tokenByKey } from "../run/selectors";
import { failedTest } from "../run/token";
import { draft, started, verdict } from "../testing/messages";
import { tokenFacts } from "./facts";
import { statusHelp, verdictSentence } from "./verdicts";

function judged(rule: RuleName, status: VerifyResult["status"], changes: Partial<VerifyResult>) {
  const events = [
    started({ rule }),
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
      "Accepted: the prefix of this token alone is kept with probability 80 %, and the uniform drawn, 0.200, is within it.",
    );
    expect(verdictSentence(judged("block", "accepted", { acceptance_prob: 0.4 }))).toMatch(
      /this far or further/,
    );
    expect(verdictSentence(judged("block", "discarded", tested))).toMatch(
      /^Discarded: .* 40 %.* 0\.750, is above it\.$/,
    );
  });

  it("discards what it turned down", () => {
    expect(failedTest(judged("block", "discarded", tested))).toBe(true);
    expect(failedTest(judged("token", "discarded", {}))).toBe(false);
    expect(failedTest(judged("token", "rejected", {}))).toBe(true);
    expect(failedTest(judged("block", "accepted", tested))).toBe(false);
  });

  it("has its own words for what its number is", () => expect(terms("block")).toContain("prefix kept with"));
});

describe("sample-and-match", () => {
  const words = (status: "accepted" | "rejected") =>
    verdictSentence(judged("match", status, { acceptance_prob: 0.25, target_prob: 0.25, draft_prob: 0.9 }));

  it("compares, and holds no uniform against a probability", () => {
    expect(words("accepted")).toMatch(/the target drew this very token too, .* 25 %/);
    expect(words("rejected")).toMatch(/the target drew another token; .* 25 %/);
    expect(words("rejected")).not.toMatch(/min\(1/);
    expect(terms("match")).toContain("chance of a match");
    expect(terms("match")).not.toContain("uniform drawn");
  });
});

describe("typical acceptance", () => {
  it("says that it is lossy, wherever it decided", () => {
    const words = (status: "accepted" | "rejected", acceptance_prob: number) =>
      verdictSentence(judged("typical", status, { acceptance_prob, target_prob: 0.12 }));
    expect(words("accepted", 1)).toMatch(/gives it 12 %, which is likely enough\. Lossy/);
    expect(words("rejected", 0)).toMatch(/too unlikely\. Lossy/);
    expect(terms("typical")).toContain("target p");
    expect(terms("typical")).not.toContain("acceptance prob.");
  });

  it("discards what was likely enough on a shorter path, without having turned it down", () => {
    const token = judged("typical", "discarded", { acceptance_prob: 1, target_prob: 0.12 });
    expect(verdictSentence(token)).toMatch(/but another path is longer/);
    expect(failedTest(token)).toBe(false);
    expect(verdictSentence(judged("typical", "discarded", {}))).toMatch(
      /^Never tested: drafted behind a token/,
    );
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
