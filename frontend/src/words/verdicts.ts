// What became of a token and why, in the words of the rule that decided it.

import type { RuleName, Status, Token } from "../run/model";
import { fixed, percent } from "./format";

export interface StatusWord {
  readonly name: string;
  readonly glyph: string;
}

/** The glyph doubles the colour. */
export const STATUS: Readonly<Record<Status, StatusWord>> = {
  accepted: { name: "accepted", glyph: "○" },
  rejected: { name: "rejected", glyph: "✕" },
  resampled: { name: "resampled", glyph: "◆" },
  bonus: { name: "bonus", glyph: "★" },
  pending: { name: "pending", glyph: "◌" },
  discarded: { name: "discarded", glyph: "·" },
  plain: { name: "plain", glyph: "□" },
};

type Helps = Readonly<Record<Status, string>>;

const BY_TOKEN: Helps = {
  accepted: "Drafted, tested and kept: the uniform drawn was within min(1, p/q).",
  rejected:
    "Drafted and tested, but the uniform drawn was above min(1, p/q). What hangs on it falls too; a sibling, if it has one, is tested against what p has left.",
  resampled:
    "Stands in for what was rejected: drawn from what the target has left over the draft, norm(max(0, p − q)).",
  bonus: "Its whole path was accepted, so the same pass of the target gives one more token for free.",
  pending: "Drafted, and waiting for the target's verdict.",
  discarded: "Never tested: drafted behind a rejected token, or beside an accepted one.",
  plain: "Decoded by the target alone, without speculation.",
};

const BY_RULE: Readonly<Record<RuleName, Helps>> = {
  token: BY_TOKEN,
  block: {
    ...BY_TOKEN,
    accepted:
      "In the longest prefix of the draft that was kept. Prefixes are tested whole, the longest first.",
    resampled:
      "Follows the prefix that was kept: drawn from what the target has left over the draft there, norm(max(0, w·p − q)), w being the prefix's weight.",
    bonus: "The whole draft was kept, so the same pass of the target gives one more token for free.",
    discarded: "Beyond the prefix that was kept: the longer prefixes were tested whole, and not kept.",
  },
  match: {
    ...BY_TOKEN,
    accepted: "The target drew this very token too.",
    rejected: "The target drew another token.",
    resampled: "The target's own draw, which no drafted token equals.",
    bonus: "The target drew everything on this path too, so its next draw stands as well.",
    discarded:
      "Never compared: drafted behind a token that the target did not draw, or beside one that it drew.",
  },
  typical: {
    ...BY_TOKEN,
    accepted: "Likely enough for the target, p ≥ min(ε, δ·exp(−H)), and on the longest path of such tokens.",
    rejected: "Too unlikely for the target: p < min(ε, δ·exp(−H)), H being the entropy of p.",
    resampled: "Drawn from p behind the longest path of tokens that were likely enough.",
    discarded: "Never tested, or likely enough but on a shorter path.",
  },
};

/** What a status means under a rule. */
export const statusHelp = (status: Status, rule: RuleName = "token"): string => BY_RULE[rule][status];

/** The same statuses where the target draws tokens itself and tells no probabilities. */
const COMPARED: Readonly<Partial<Record<Status, string>>> = {
  accepted: "Accepted: the target drew this very token too.",
  rejected: "Rejected: the target drew another token, which stands here instead.",
  resampled: "The target’s own draw, standing in for a drafted token that differed from it.",
  bonus: "The target drew everything that was drafted too, so its next draw stands as well.",
};

const TOO_DEEP = "Never tested: drafted behind a token that was too unlikely.";

type Sentence = (token: Token, chance: number) => string | null;

const SENTENCES: Readonly<Record<RuleName, Sentence>> = {
  token: byToken,
  block: byBlock,
  match: byMatch,
  typical: byTypical,
};

/** One sentence: why this token is what it is. */
export function verdictSentence(token: Token): string {
  const { verdict, rule, status } = token;
  if (!verdict) return statusHelp("pending", rule);
  const comparison = token.compared ? COMPARED[status] : undefined;
  if (comparison !== undefined) return comparison;
  const chance = verdict.acceptance_prob;
  if (rule === "typical" && status === "discarded" && chance === null) return TOO_DEEP;
  return (chance === null ? null : SENTENCES[rule](token, chance)) ?? statusHelp(status, rule);
}

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

function byToken({ status, verdict }: Token, chance: number): string | null {
  if (status !== "accepted" && status !== "rejected") return null;
  const { target_prob: p = null, draft_prob: q = null, uniform = null } = verdict ?? {};
  const ratio = p !== null && q !== null ? ` = min(1, ${percent(p)} / ${percent(q)})` : "";
  const kept = `${capital(status)}: kept with probability ${percent(chance)}${ratio}`;
  if (uniform === null) return `${kept}; no draw was needed.`;
  return `${kept}, and the uniform drawn, ${fixed(uniform, 3)}, is ${status === "accepted" ? "within" : "above"} it.`;
}

function byBlock({ status, verdict, position }: Token, chance: number): string | null {
  const uniform = verdict?.uniform ?? null;
  const prefix =
    position === 0 ? "the prefix of this token alone" : `the prefix of ${position + 1} tokens that ends here`;
  if (status === "accepted") {
    if (uniform === null) return "Accepted: a prefix that reaches this far or further was kept.";
    return `Accepted: ${prefix} is kept with probability ${percent(chance)}, and the uniform drawn, ${fixed(uniform, 3)}, is within it.`;
  }
  if (status !== "discarded") return null;
  const drawn =
    uniform === null ? "no draw was needed" : `the uniform drawn, ${fixed(uniform, 3)}, is above it`;
  return `Discarded: ${prefix} is kept with probability ${percent(chance)}, and ${drawn}.`;
}

function byMatch({ status }: Token, chance: number): string | null {
  if (status === "accepted")
    return `Accepted: the target drew this very token too, of which the chance was ${percent(chance)}.`;
  if (status !== "rejected") return null;
  return `Rejected: the target drew another token; the chance that it says this one was ${percent(chance)}.`;
}

function byTypical({ status, verdict }: Token, chance: number): string | null {
  const p = percent(verdict?.target_prob);
  if (status === "accepted")
    return `Accepted: the target gives it ${p}, which is likely enough. Lossy: no chance decides.`;
  if (status === "rejected")
    return `Rejected: the target gives it ${p}, which is too unlikely. Lossy: no chance decides.`;
  if (status !== "discarded" || chance < 1) return null;
  return `Discarded: the target gives it ${p}, which is likely enough, but another path is longer.`;
}
