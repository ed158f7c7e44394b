// Names of nodes and rounds for screen readers.
import { isTree, type SiblingInfo } from "../run/branches";
import type { Round, Token } from "../run/model";
import { planReason } from "../words/plan";
import { sourceOf } from "../words/sources";
import { STATUS } from "../words/verdicts";
import { countsOf } from "./bars";
import { timeLabel } from "./layout";

const NAMED: Record<string, string> = { " ": "space", "\n": "line break", "\t": "tab", "\r": "return" };

export function spokenLabel(label: string): string {
  const sign = label[0] ?? "";
  if (label === "") return "empty";
  if (!(sign in NAMED) || label.trim() !== "") return `'${label}'`;
  const same = [...label].every((character) => character === sign);
  if (!same) return "white space";
  return label.length === 1 ? `${NAMED[sign]}` : `${label.length} times ${NAMED[sign]}`;
}

/** "sibling 2 of 3 after ' the'" */
function siblingWords({ parent, number, count, duplicateOf }: SiblingInfo): string[] {
  const after = `after ${parent ? spokenLabel(parent.label) : "the text"}`;
  if (number === 0) return [after];
  const among = count === 1 ? `the only one ${after}` : `sibling ${number} of ${count} ${after}`;
  return duplicateOf === 0 ? [among] : [among, `the same token as sibling ${duplicateOf}`];
}

/** "round 12, position 2, ' the', sibling 2 of 3 after ' in', rejected, acceptance probability 0.31" */
export function describeToken(
  token: Token,
  siblingInfo: SiblingInfo | null = null,
  withSource = false,
): string {
  const parts = [
    `round ${token.round + 1}`,
    `position ${token.position + 1}`,
    spokenLabel(token.label),
    ...(siblingInfo ? siblingWords(siblingInfo) : []),
    STATUS[token.status].name,
  ];
  if (token.compared && token.status === "accepted") parts.push("the target drew the same token");
  if (token.compared && token.status === "rejected") parts.push("the target drew another token");
  parts.push(...acceptanceWords(token));
  if (withSource && token.draft) parts.push(`from ${sourceOf(token.draft.source).title}`);
  return parts.join(", ");
}

const PROBABILITY = {
  token: "acceptance probability",
  block: "prefix acceptance probability",
  match: "match probability",
} as const;

/** Typical acceptance decides by a threshold, without a probability. */
function acceptanceWords({ verdict, rule }: Token): string[] {
  const probability = verdict?.acceptance_prob ?? null;
  return probability === null || rule === "typical" ? [] : [`${PROBABILITY[rule]} ${probability.toFixed(2)}`];
}

/** "round 12, 4 drafted, 2 accepted, 1 rejected, 1 discarded, then one resampled, 312 ms", and the plan of `auto` */
export function describeRound(round: Round): string {
  const counts = countsOf(round);
  const drafted = `${round.drafted.length} drafted${isTree(round) ? " as a tree" : ""}`;
  const parts = [`round ${round.index + 1}`, drafted];
  for (const status of ["accepted", "rejected", "discarded", "pending"] as const) {
    if (counts[status] > 0) parts.push(`${counts[status]} ${status}`);
  }
  if (counts.extra) parts.push(`then one ${counts.extra}`);
  if (round.metrics) parts.push(timeLabel(round.metrics.round_ms));
  const plan = round.metrics?.plan;
  return parts.join(", ") + (plan ? `. Expected: ${planReason(plan)}` : "");
}
