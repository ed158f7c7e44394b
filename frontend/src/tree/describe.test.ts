import { expect, it } from "vitest";
import { siblingInfoOf } from "../run/branches";
import type { Token } from "../run/model";
import { chain, roundOf } from "../testing/runs";
import { describeRound, describeToken } from "./describe";

const round = roundOf(11, chain("ard+"), (_, position) => [" the", "\n", "        "][position] ?? "");

it("tells a token's place, words, verdict and chance", () => {
  const probability = round.drafted[0]?.verdict?.acceptance_prob?.toFixed(2);
  expect(describeToken(round.drafted[0] as never)).toBe(
    `round 12, position 1, ' the', accepted, acceptance probability ${probability}`,
  );
});

it("names white space, and no chance where none applies", () => {
  expect(describeToken(round.emitted[1] as never)).toBe("round 12, position 2, line break, resampled");
});

it("says what the target drew where no chance is known", () => {
  const [kept, lost] = round.drafted.map((token) => ({
    ...token,
    compared: true,
    verdict: token.verdict && { ...token.verdict, acceptance_prob: null },
  }));
  expect(describeToken(kept as never)).toMatch(/, accepted, the target drew it too$/);
  expect(describeToken(lost as never)).toMatch(/, rejected, the target drew another token$/);
});

it("sums up a condensed round", () => {
  expect(describeRound(round)).toMatch(
    /^round 12, 3 drafted, 1 accepted, 1 rejected, 1 discarded, then one resampled, \d+ ms$/,
  );
});

it("names what a token of a tree hangs on, and which of its siblings it is", () => {
  const tree = roundOf(0, {
    extra: "bonus",
    nodes: [
      { parent: null, status: "accepted" },
      { parent: null, status: "discarded" },
      { parent: 0, status: "accepted" },
    ],
  });
  const said = (node: number, named = false) => {
    const token = tree.drafted[node] as Token;
    return describeToken(token, siblingInfoOf(tree, token), named);
  };
  expect(said(1)).toMatch(/, sibling 2 of 2 after the text, the same token as sibling 1, discarded$/);
  expect(said(2)).toMatch(/, the only one after ' token', accepted, /);
  expect(said(1, true)).toMatch(/, from draft model$/);
  const extra = tree.emitted.at(-1) as Token;
  expect(describeToken(extra, siblingInfoOf(tree, extra), true)).toMatch(/, after ' token', bonus$/);
  expect(describeRound(tree)).toMatch(/^round 1, 3 drafted as a tree, 2 accepted, /);
});
