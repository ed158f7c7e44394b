// Why drafted tokens were rejected, in words. docs/autopsy.md defines the causes.
import type { Autopsy, CauseShare, RejectedToken } from "../protocol/generated";
import { DASH, fixed } from "./format";

export type Cause = CauseShare["cause"];

interface CauseWords {
  readonly title: string;
  readonly help: string;
}

export const CAUSES: Record<Cause, CauseWords> = {
  irreducible: {
    title: "Draft differs",
    help: "The draft's distribution is not the target's: 1 − Σ min(p, q), without the parts of the other causes.",
  },
  position: {
    title: "Position",
    help: "The draft is worse at later positions than at its first one, because it builds on its own earlier tokens.",
  },
  depth: {
    title: "Deeper than trained",
    help: "Positions deeper than the head was trained for, as its card states.",
  },
  vocabulary: {
    title: "Outside the vocabulary",
    help: "Probability of the target on tokens that the drafter cannot propose.",
  },
  filters: {
    title: "Cut by filters",
    help: "Tokens that the draft keeps and the target's top-k, top-p or min-p cut.",
  },
  greedy: {
    title: "Chosen, not drawn",
    help: "Acceptance if the token were drawn from q, minus acceptance of the most probable token of q, as drafted. Negative where drawing is worse.",
  },
  rule: {
    title: "Rule",
    help: "Acceptance of modified rejection sampling, minus acceptance of this run's rule.",
  },
  unknown: {
    title: "Not known",
    help: "Rejections without a record of both distributions.",
  },
};

const whole = (share: number): string => `${Math.round(100 * share)}`.replace("-", "−");

/** "62 %", or a dash. */
export const shareOf = ({ share }: CauseShare): string => (share === null ? DASH : `${whole(share)} %`);

/** "55 to 70 %", the interval of a share; null if there is none. */
export const intervalOf = ({ low, high }: CauseShare): string | null =>
  low === null || high === null ? null : `${whole(low)} to ${whole(high)} %`;

export function totalsOf({ rejected, tested, expected }: Autopsy): string {
  return `${rejected} of ${tested} tested tokens were rejected; ${fixed(expected, 1)} were to be expected.`;
}

/** The remedy, and the tokens a round that it can bring at most. */
export function remedyOf({ remedy, gain }: CauseShare): string {
  if (gain === null) return remedy;
  return `${remedy} At most ${gain < 0 ? "" : "+"}${fixed(gain)} tokens a round.`;
}

const BEFORE = 24;

/** The end of the text before an example, in one line. */
export function beforeOf({ before }: RejectedToken): string {
  const line = before.replace(/\s+/g, " ");
  return line.length > BEFORE ? `…${line.slice(-BEFORE)}` : line;
}
