// What a screen reader is told of nodes and rounds.
import { STATUS } from "../state/facts";
import type { Round, Token } from "../state/model";
import { countsOf } from "./bars";
import { timeLabel } from "./layout";

const SPOKEN: Record<string, string> = { " ": "space", "\n": "line break", "\t": "tab", "\r": "return" };

function spokenLabel(label: string): string {
  const sign = label[0] ?? "";
  if (label === "") return "empty";
  if (!(sign in SPOKEN) || label.trim() !== "") return `'${label}'`;
  const same = [...label].every((character) => character === sign);
  if (!same) return "white space";
  return label.length === 1 ? `${SPOKEN[sign]}` : `${label.length} times ${SPOKEN[sign]}`;
}

/** "round 12, position 2, ' the', rejected, acceptance probability 0.31" */
export function describeToken(token: Token): string {
  const parts = [
    `round ${token.round + 1}`,
    `position ${token.position + 1}`,
    spokenLabel(token.label),
    STATUS[token.status].name,
  ];
  if (token.compared && token.status === "accepted") parts.push("the target drew it too");
  if (token.compared && token.status === "rejected") parts.push("the target drew another token");
  const probability = token.verdict?.acceptance_prob ?? null;
  if (probability !== null) parts.push(`acceptance probability ${probability.toFixed(2)}`);
  return parts.join(", ");
}

/** "round 12, 4 drafted, 2 accepted, 1 rejected, 1 discarded, then one resampled, 312 ms" */
export function describeRound(round: Round): string {
  const counts = countsOf(round);
  const parts = [`round ${round.index + 1}`, `${round.drafted.length} drafted`];
  for (const status of ["accepted", "rejected", "discarded", "pending"] as const) {
    if (counts[status] > 0) parts.push(`${counts[status]} ${status}`);
  }
  if (counts.extra) parts.push(`then one ${counts.extra}`);
  if (round.metrics) parts.push(timeLabel(round.metrics.round_ms));
  return parts.join(", ");
}
