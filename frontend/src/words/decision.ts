// The picture of one decision, in words.
import type { RuleName, Token } from "../run/model";

const COMPARED_HELP =
  "p is the target's and q the draft's distribution after temperature and filters: the ones that decide. Solid: min(p, q), which is accepted. Hatched: the residual, from which a rejected token is replaced. Outlined: what q has more, which is rejected. The needle is the uniform times q of the tested token: it is accepted if the needle is in the solid part.";

const HELP: Readonly<Record<RuleName, string>> = {
  token: COMPARED_HELP,
  block:
    "p is the target's and q the draft's distribution after temperature and filters. Block verification tests whole prefixes, so no single uniform decides about one token.",
  match:
    "p is the target's distribution after temperature and filters. The target draws from it; q is not read.",
  typical:
    "p is the target's distribution after temperature and filters. A threshold on it decides; q is not read.",
};

export const decisionHelp = ({ rule }: Token): string => HELP[rule];

const PARTIAL = "The target reports p of this token only.";
const GREEDY =
  "At temperature 0 p is 100 % for the target’s most probable token, which replaces any other draft.";

/** What a reader of the picture must know about this decision; empty if nothing. */
export function decisionNote({ greedy, rule }: Token, partial: boolean): string {
  const notes = [greedy && rule !== "typical" ? GREEDY : "", partial ? PARTIAL : ""];
  return notes.filter(Boolean).join(" ");
}
