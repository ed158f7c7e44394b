import { expect, it } from "vitest";
import { describeRound, describeToken } from "./describe";
import { chain, roundOf } from "./fixture";

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
