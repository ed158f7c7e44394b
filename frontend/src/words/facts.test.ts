import { describe, expect, it } from "vitest";
import type { Token } from "../run/model";
import { emptyRun, reduceAll } from "../run/reducer";
import { tokenByKey } from "../run/selectors";
import { draft, started, verdict } from "../testing/messages";
import { tokenFacts } from "./facts";
import { verdictSentence } from "./verdicts";

function tokenOf(events: Parameters<typeof reduceAll>[1], key: string): Token {
  const token = tokenByKey(reduceAll(emptyRun, events), key);
  if (!token) throw new Error("missing");
  return token;
}
const factOf = (token: Token, term: string) => tokenFacts(token).find((fact) => fact.term === term)?.value;
const SAMPLED = started({ sampling: { ...started().sampling, temperature: 0.7 } });
const tested = { target_logprob: -1, target_prob: 0.3, draft_prob: 0.6, acceptance_prob: 0.5, uniform: 0.75 };
const judged = { round: 0, node: 0, position: 0, status: "rejected", text: "" } as const;

describe("facts of a token", () => {
  it("explain the decision with its figures", () => {
    const token = tokenOf([SAMPLED, draft(0, 0, "a"), verdict(judged, tested)], "0:0");
    expect(verdictSentence(token)).toBe(
      "Rejected: the acceptance probability is 50 % = min(1, 30 % / 60 %), and the uniform, 0.750, is above it.",
    );
    expect(factOf(token, "target log-prob, raw")).toBe("−1.00 (37 %)");
    expect([factOf(token, "target p"), factOf(token, "draft q")]).toEqual(["30 %", "60 %"]);
    expect(factOf(token, "round, position")).toBe("1, 1");
  });

  it("show unknown figures as a dash, never as zero", () => {
    const token = tokenOf([started(), draft(0, 0, "a"), verdict(judged)], "0:0");
    expect(factOf(token, "target log-prob, raw")).toBe("–");
    const waiting = tokenOf([started(), draft(0, 0, "a")], "0:0");
    expect(factOf(waiting, "acceptance prob.")).toBe("–");
    expect(factOf(waiting, "uniform")).toBe("–");
  });

  it("describes draws without figures where the target returns no probabilities", () => {
    const round = (status: "accepted" | "rejected", extra: "bonus" | "resampled") =>
      [
        started(),
        draft(0, 0, "a"),
        verdict({ ...judged, status }),
        verdict({ ...judged, node: null, position: 1, status: extra, text: "b" }),
      ] as const;
    const sentence = (events: Parameters<typeof reduceAll>[1], key: string) => {
      const token = tokenOf(events, key);
      for (const term of ["acceptance prob.", "uniform"]) expect(factOf(token, term)).toBeUndefined();
      expect(factOf(token, "decided by")).toBe("comparison");
      return verdictSentence(token);
    };
    expect(sentence(round("accepted", "bonus"), "0:0")).toBe("Accepted: the target drew the same token.");
    expect(sentence(round("rejected", "resampled"), "0:0")).toMatch(
      /^Rejected: the target drew another token/,
    );
    const sentences = [
      sentence(round("accepted", "bonus"), "0:+"),
      sentence(round("rejected", "resampled"), "0:+"),
    ];
    for (const words of sentences) expect(words).not.toMatch(/p\/q|p − q|%/);
    expect(sentences[0]).not.toBe(sentences[1]);
  });

  it("has the covered mass of q, if it is known", () => {
    const covering = (covered_mass: number | null) =>
      factOf(tokenOf([started(), { ...draft(0, 0, "a"), covered_mass }], "0:0"), "covered mass");
    expect(covering(0.984)).toBe("98.4 %");
    expect(covering(null)).toBeUndefined();
  });

  it("leave out the draft's figures for a token that was not drafted", () => {
    const token = tokenOf([started(), verdict({ ...judged, node: null, status: "bonus", text: "x" })], "0:+");
    expect(factOf(token, "uniform")).toBeUndefined();
    expect(factOf(token, "drafted by")).toBe("none");
  });
});
