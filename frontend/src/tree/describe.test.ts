import { expect, it } from "vitest";
import { siblingInfoOf } from "../run/branches";
import type { Token } from "../run/model";
import { chain, PLAN, roundOf } from "../testing/runs";
import { describeRound, describeToken } from "./describe";

const round = roundOf(11, chain("ard+"), (_, position) => [" the", "\n", "        "][position] ?? "");

it("names a token's position, text, status and acceptance probability", () => {
  const probability = round.drafted[0]?.verdict?.acceptance_prob?.toFixed(2);
  expect(describeToken(round.drafted[0] as never)).toBe(
    `round 12, position 1, ' the', accepted, acceptance probability ${probability}`,
  );
});

it("names white space, and no probability if there is none", () => {
  expect(describeToken(round.emitted[1] as never)).toBe("round 12, position 2, line break, resampled");
});

it("compares with the target's draw if no probability is known", () => {
  const [kept, lost] = round.drafted.map((token) => ({
    ...token,
    compared: true,
    verdict: token.verdict && { ...token.verdict, acceptance_prob: null },
  }));
  expect(describeToken(kept as never)).toMatch(/, accepted, the target drew the same token$/);
  expect(describeToken(lost as never)).toMatch(/, rejected, the target drew another token$/);
});

it("describes a round", () => {
  expect(describeRound(round)).toMatch(
    /^round 12, 3 drafted, 1 accepted, 1 rejected, 1 discarded, then one resampled, \d+ ms$/,
  );
});

it("adds the plan of a round, as expected", () => {
  const metrics = round.metrics && { ...round.metrics, plan: PLAN };
  expect(describeRound({ ...round, metrics })).toMatch(
    / ms\. Expected: Draft model, 3 tokens: 2\.6 tokens expected/,
  );
});

it("names the parent of a token in a tree, and which of its siblings it is", () => {
  const tree = roundOf(0, {
    extra: "bonus",
    nodes: [
      { parent: null, status: "accepted" },
      { parent: null, status: "discarded" },
      { parent: 0, status: "accepted" },
    ],
  });
  const described = (node: number, withSource = false) => {
    const token = tree.drafted[node] as Token;
    return describeToken(token, siblingInfoOf(tree, token), withSource);
  };
  expect(described(1)).toMatch(/, sibling 2 of 2 after the text, the same token as sibling 1, discarded$/);
  expect(described(2)).toMatch(/, the only one after ' token', accepted, /);
  expect(described(1, true)).toMatch(/, from draft model$/);
  const extra = tree.emitted.at(-1) as Token;
  expect(describeToken(extra, siblingInfoOf(tree, extra), true)).toMatch(/, after ' token', bonus$/);
  expect(describeRound(tree)).toMatch(/^round 1, 3 drafted as a tree, 2 accepted, /);
});
