// The status of a token and its reason, in the words of the rule that decided.
import type { RuleName, Status, Token } from "../run/model";
import { fixed, percent } from "./format";

export interface StatusWord {
  readonly name: string;
  /** Repeats the colour as a shape. */
  readonly glyph: string;
}

export const STATUS: Readonly<Record<Status, StatusWord>> = {
  accepted: { name: "accepted", glyph: "○" },
  rejected: { name: "rejected", glyph: "✕" },
  resampled: { name: "resampled", glyph: "◆" },
  bonus: { name: "bonus", glyph: "★" },
  pending: { name: "pending", glyph: "◌" },
  discarded: { name: "discarded", glyph: "·" },
  plain: { name: "plain", glyph: "□" },
  received: { name: "received", glyph: "▫" },
};

type Helps = Readonly<Record<Status, string>>;

const BY_TOKEN: Helps = {
  accepted: "Drafted, tested and accepted: the uniform was below min(1, p/q).",
  rejected:
    "Drafted, tested and rejected: the uniform was above min(1, p/q). Tokens drafted after it are discarded. Its next sibling, if it has one, is tested against the residual.",
  resampled: "Replaces a rejected token. It is drawn from the residual, norm(max(0, p − q)).",
  bonus: "Drawn from p after a fully accepted draft, in the same pass of the target.",
  pending: "Drafted and not verified yet.",
  discarded:
    "Drafted and never tested: it follows a rejected token, or is on another branch than the accepted path.",
  plain: "Emitted by the target alone, without a draft.",
  received: "A piece of text as another server sent it. What was drafted for it is not known.",
};

const BY_RULE: Readonly<Record<RuleName, Helps>> = {
  token: BY_TOKEN,
  block: {
    ...BY_TOKEN,
    accepted: "Part of the longest accepted prefix. Whole prefixes are tested, the longest first.",
    resampled:
      "Follows the accepted prefix. It is drawn from the residual, norm(max(0, w·p − q)), w being the weight of the prefix.",
    discarded: "After the accepted prefix: the longer prefixes were tested as a whole and not accepted.",
  },
  match: {
    ...BY_TOKEN,
    accepted: "The target drew the same token.",
    rejected: "The target drew another token.",
    resampled: "The token that the target drew. No drafted token equals it.",
    bonus: "The target drew every token of this path, so its next draw is emitted too.",
    discarded:
      "Never compared: it follows a token that the target did not draw, or is on another branch than the drawn path.",
  },
  typical: {
    ...BY_TOKEN,
    accepted:
      "Probable enough for the target, p ≥ min(ε, δ·exp(−H)), and on the longest path of such tokens.",
    rejected: "Too improbable for the target: p < min(ε, δ·exp(−H)), H being the entropy of p.",
    resampled: "Drawn from p after the longest path of probable enough tokens.",
    discarded: "Never tested, or probable enough but on a shorter path.",
  },
};

/** What a status means under a rule. */
export const statusHelp = (status: Status, rule: RuleName = "token"): string => BY_RULE[rule][status];

/** The same statuses for a target that returns drawn tokens without probabilities. */
const COMPARED: Readonly<Partial<Record<Status, string>>> = {
  accepted: "Accepted: the target drew the same token.",
  rejected: "Rejected: the target drew another token, which is emitted instead.",
  resampled: "The token that the target drew. It replaces a different drafted token.",
  bonus: "The target drew every drafted token, so its next draw is emitted too.",
};

/** At temperature 0 nothing is drawn, under every exact rule. */
const GREEDY: Readonly<Partial<Record<Status, string>>> = {
  accepted: "Accepted: at temperature 0 only the target’s most probable token passes, and this is it.",
  rejected: "Rejected: at temperature 0 the target’s most probable token, another one, replaces it.",
  resampled: "The target’s most probable token. At temperature 0 it replaces the draft’s; nothing is drawn.",
  bonus: "The target’s most probable token after a fully accepted draft, from the same pass.",
};

const AFTER_IMPROBABLE = "Never tested: it follows a token that was too improbable.";

/** `acceptance` is `acceptance_prob` of the verdict. */
type Sentence = (token: Token, acceptance: number) => string | null;

const SENTENCES: Readonly<Record<RuleName, Sentence>> = {
  token: byToken,
  block: byBlock,
  match: byMatch,
  typical: byTypical,
};

/** One sentence: the reason for the status of this token. */
export function verdictSentence(token: Token): string {
  const { verdict, rule, status } = token;
  if (!verdict) return statusHelp("pending", rule);
  const comparison = token.compared ? COMPARED[status] : undefined;
  if (comparison !== undefined) return comparison;
  const greedy = token.greedy && rule !== "typical" ? GREEDY[status] : undefined;
  if (greedy !== undefined) return greedy;
  const acceptance = verdict.acceptance_prob;
  if (rule === "typical" && status === "discarded" && acceptance === null) return AFTER_IMPROBABLE;
  return (acceptance === null ? null : SENTENCES[rule](token, acceptance)) ?? statusHelp(status, rule);
}

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

/** "and the uniform, 0.750, is above it" */
const uniformClause = (uniform: number | null, side: "above" | "below"): string =>
  uniform === null
    ? "and no random number was needed"
    : `and the uniform, ${fixed(uniform, 3)}, is ${side} it`;

function byToken({ status, verdict }: Token, acceptance: number): string | null {
  if (status !== "accepted" && status !== "rejected") return null;
  const { target_prob: p = null, draft_prob: q = null, uniform = null } = verdict ?? {};
  const ratio = p !== null && q !== null ? ` = min(1, ${percent(p)} / ${percent(q)})` : "";
  const side = status === "accepted" ? "below" : "above";
  return `${capital(status)}: the acceptance probability is ${percent(acceptance)}${ratio}, ${uniformClause(uniform, side)}.`;
}

function byBlock({ status, verdict, position }: Token, acceptance: number): string | null {
  const uniform = verdict?.uniform ?? null;
  const prefix =
    position === 0 ? "the prefix of this token alone" : `the prefix of ${position + 1} tokens that ends here`;
  const probability = `${prefix} has the acceptance probability ${percent(acceptance)}`;
  if (status === "accepted") {
    if (uniform === null) return "Accepted: a prefix that contains this token was accepted.";
    return `Accepted: ${probability}, ${uniformClause(uniform, "below")}.`;
  }
  if (status !== "discarded") return null;
  return `Discarded: ${probability}, ${uniformClause(uniform, "above")}.`;
}

function byMatch({ status }: Token, acceptance: number): string | null {
  if (status === "accepted")
    return `Accepted: the target drew the same token, with probability ${percent(acceptance)}.`;
  if (status !== "rejected") return null;
  return `Rejected: the target drew another token; its probability of this one was ${percent(acceptance)}.`;
}

const LOSSY = "The rule is lossy: no random number decides.";

function byTypical({ status, verdict }: Token, acceptance: number): string | null {
  const p = `the target's probability of this token is ${percent(verdict?.target_prob)}`;
  if (status === "accepted") return `Accepted: ${p}, which is high enough. ${LOSSY}`;
  if (status === "rejected") return `Rejected: ${p}, which is too low. ${LOSSY}`;
  if (status !== "discarded" || acceptance < 1) return null;
  return `Discarded: ${p}, which is high enough, but another path is longer.`;
}
