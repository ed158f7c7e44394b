import { describe, expect, it } from "vitest";
import type { ChoiceInfo, PlanInfo } from "../protocol/generated";
import { metrics } from "../testing/messages";
import { measuredWords, planReason, unitWords } from "./plan";

const choice = (
  drafter: string,
  depth: number,
  expected_tokens: number,
  expected_ms: number,
  siblings = 0,
): ChoiceInfo => ({
  drafter,
  depth,
  expected_tokens,
  expected_ms,
  siblings,
});
const PLAIN = choice("model", 0, 1, 20);
const plan = (chosen: ChoiceInfo, others: readonly ChoiceInfo[], explored = false): PlanInfo => ({
  chosen,
  others: [...others],
  plain_ms: 20,
  explored,
});

describe("the reason of a plan", () => {
  it("compares a draft with plain decoding", () => {
    expect(planReason(plan(choice("model", 3, 2.6, 38), [PLAIN, choice("suffix", 1, 1.1, 24)]))).toBe(
      "Draft model, 3 tokens: 2.6 tokens expected in 1.9 plain passes of time. Plain decoding would give 1.0 in 1.0.",
    );
    expect(planReason(plan(choice("eagle", 1, 1.7, 26), [PLAIN]))).toMatch(
      /^EAGLE head, 1 token: 1\.7 tokens/,
    );
  });

  it("names the siblings of a tree", () => {
    expect(planReason(plan(choice("model", 3, 2.9, 40, 2), [PLAIN]))).toMatch(
      /^Draft model, 3 tokens and 2 siblings: 2\.9 tokens/,
    );
    expect(planReason(plan(PLAIN, [choice("model", 1, 1.3, 40, 1)]))).toMatch(
      /draft model with 1 token and 1 sibling, /,
    );
  });

  it("takes plain decoding from the plan, and leaves it out where the plan has none", () => {
    const slow = choice("model", 0, 1, 22);
    expect(planReason(plan(choice("model", 1, 1.5, 25), [slow]))).toMatch(/would give 1\.0 in 1\.1\.$/);
    expect(planReason(plan(choice("model", 1, 1.5, 25), []))).toMatch(/plain passes of time\.$/);
  });

  it("of a plain round names the draft that brings most for its time", () => {
    const others = [choice("model", 4, 1.6, 60), choice("suffix", 2, 1.2, 32), choice("eagle", 0, 1, 20)];
    expect(planReason(plan(PLAIN, others))).toBe(
      "No draft pays here: the best, suffix automaton with 2 tokens, would bring 1.2 tokens in 1.6 plain passes of time.",
    );
    expect(planReason(plan(PLAIN, [choice("model", 1, 1.3, 40)]))).toMatch(/draft model with 1 token, /);
  });

  it("does not contradict itself where a draft beats a plain pass, and not the last rounds", () => {
    const draft = (tokens: number, ms: number) => planReason(plan(PLAIN, [choice("model", 2, tokens, ms)]));
    expect(draft(1.5, 26)).toMatch(
      /1\.5 tokens in 1\.3 plain passes of time\. In the last rounds, the additional time brought more\.$/,
    );
    expect(draft(1.31, 26)).toMatch(/1\.3 tokens in 1\.3 plain passes of time\.$/);
  });

  it("states where nothing can be drafted", () => {
    const none = "Plain decoding: no drafter has a draft here.";
    expect(planReason(plan(PLAIN, []))).toBe(none);
    expect(planReason(plan(PLAIN, [choice("suffix", 0, 1, 20)]))).toBe(none);
  });

  it("of an explored round is that the estimates need it", () => {
    expect(planReason(plan(choice("suffix", 2, 1.2, 32), [PLAIN], true))).toBe(
      "Suffix automaton, 2 tokens: 1.2 tokens expected in 1.6 plain passes of time. Tried to keep the estimates up to date.",
    );
    expect(planReason(plan(PLAIN, [choice("suffix", 2, 2.2, 32)], true))).toBe(
      "Plain decoding. Tried to keep the estimates up to date.",
    );
  });

  it("has dashes instead of figures that are not numbers", () => {
    const broken = { ...plan(choice("model", 3, 2.6, 38), [PLAIN]), plain_ms: 0 };
    expect(planReason(broken)).not.toMatch(/NaN|Infinity/);
  });
});

describe("expected and measured figures", () => {
  it("have different words", () => {
    expect(unitWords(plan(PLAIN, []))).toBe("One plain pass: 20\u00a0ms expected.");
    expect(measuredWords(metrics(0, 4, { round_emitted: 3, round_ms: 63 }))).toBe(
      "4 tokens drafted, 3 emitted in 63\u00a0ms.",
    );
    expect(measuredWords(metrics(0, 0, { round_ms: 21 }))).toBe("Nothing drafted, 1 emitted in 21\u00a0ms.");
  });

  it("state that a draft ended before the planned depth", () => {
    const ended = (drafted: number) =>
      measuredWords(metrics(0, drafted, { plan: plan(choice("eagle", 3, 2.6, 38), [PLAIN]), round_ms: 30 }));
    expect(ended(0)).toBe("The draft ended before its first token, 1 emitted in 30\u00a0ms.");
    expect(ended(2)).toBe("The draft ended after 2 of 3 tokens, 1 emitted in 30\u00a0ms.");
    expect(ended(3)).toBe("3 tokens drafted, 1 emitted in 30\u00a0ms.");
    expect(ended(5)).toBe("5 tokens drafted, 1 emitted in 30\u00a0ms.");
  });
});
