// The numbers of one token, in words and in the order of the decision they explain.
import { DASH, fixed, milliseconds, percent, probability } from "./format";
import type { Status, Token } from "./model";

export interface Fact {
  readonly term: string;
  readonly value: string;
  readonly help: string;
}

export interface StatusWord {
  readonly name: string;
  readonly glyph: string;
  readonly help: string;
}

/** What each status means; the glyph doubles its colour. */
export const STATUS: Readonly<Record<Status, StatusWord>> = {
  accepted: {
    name: "accepted",
    glyph: "○",
    help: "Drafted, tested and kept: the uniform drawn was within min(1, p/q).",
  },
  rejected: {
    name: "rejected",
    glyph: "✕",
    help: "Drafted and tested, but the uniform drawn was above min(1, p/q). The draft ends here.",
  },
  resampled: {
    name: "resampled",
    glyph: "◆",
    help: "Stands in for a rejected token: drawn from what the target has left over the draft, norm(max(0, p − q)).",
  },
  bonus: {
    name: "bonus",
    glyph: "★",
    help: "Everything drafted was accepted, so the same pass of the target gives one more token for free.",
  },
  pending: { name: "pending", glyph: "◌", help: "Drafted, and waiting for the target's verdict." },
  discarded: {
    name: "discarded",
    glyph: "·",
    help: "Drafted behind a rejected token, so it was never tested.",
  },
  plain: { name: "plain", glyph: "□", help: "Decoded by the target alone, without speculation." },
};

/** The same statuses where the target draws tokens itself and tells no probabilities. */
const COMPARED: Readonly<Partial<Record<Status, string>>> = {
  accepted: "Accepted: the target drew this very token too.",
  rejected: "Rejected: the target drew another token, which stands here instead. The draft ends here.",
  resampled: "The target’s own draw, standing in for a drafted token that differed from it.",
  bonus: "The target drew everything that was drafted too, so its next draw stands as well.",
};

const LOGPROB_HELP = "Natural logarithm of the model's own probability, before temperature and filters.";

const COVERED_HELP =
  "q covers this much of the draft's distribution: the draft draws from its most probable tokens alone, renormalised. Any such q is exact; what it leaves out costs only acceptance.";

function sideFacts(token: Token): Fact[] {
  const { draft, verdict } = token;
  const target = verdict?.target_logprob ?? null;
  const own = verdict?.draft_logprob ?? draft?.logprob ?? null;
  return [
    {
      term: "target log-prob",
      value: `${fixed(target)} (${percent(probability(target))})`,
      help: LOGPROB_HELP,
    },
    { term: "draft log-prob", value: `${fixed(own)} (${percent(probability(own))})`, help: LOGPROB_HELP },
  ].map((fact) => (fact.value.startsWith(DASH) ? { ...fact, value: DASH } : fact));
}

/** One sentence: why this token is what it is. */
export function verdictSentence(token: Token): string {
  const { verdict } = token;
  if (!verdict) return STATUS.pending.help;
  const comparison = token.compared ? COMPARED[token.status] : undefined;
  if (comparison !== undefined) return comparison;
  const { acceptance_prob: accept, uniform, target_prob: p, draft_prob: q, status } = verdict;
  if ((status !== "accepted" && status !== "rejected") || accept === null) return STATUS[status].help;
  const ratio = p !== null && q !== null ? ` = min(1, ${percent(p)} / ${percent(q)})` : "";
  const chance = `kept with probability ${percent(accept)}${ratio}`;
  if (uniform === null)
    return `${status === "accepted" ? "Accepted" : "Rejected"}: ${chance}; no draw was needed.`;
  const relation = status === "accepted" ? "within" : "above";
  return `${status === "accepted" ? "Accepted" : "Rejected"}: ${chance}, and the uniform drawn, ${fixed(uniform, 3)}, is ${relation} it.`;
}

/** A certain decision needs no draw, which is not the same as an unknown one. */
function drawn({ verdict }: Token): string {
  const certain = verdict?.acceptance_prob === 0 || verdict?.acceptance_prob === 1;
  return certain && verdict.uniform === null ? "none needed" : fixed(verdict?.uniform, 3);
}

/** Where tokens are compared there is neither a probability of keeping this one nor a number held against it. */
function decisionFacts(token: Token): Fact[] {
  if (token.compared) {
    return [
      {
        term: "decided by",
        value: "comparison",
        help: "The target draws tokens itself and tells no probabilities: the draft is kept while it equals those draws.",
      },
    ];
  }
  return [
    {
      term: "acceptance prob.",
      value: percent(token.verdict?.acceptance_prob),
      help: "min(1, p/q): the share of draws in which this token would be kept.",
    },
    {
      term: "uniform drawn",
      value: drawn(token),
      help: "The random number the acceptance probability was held against.",
    },
  ];
}

export function tokenFacts(token: Token): Fact[] {
  const { draft, verdict } = token;
  const facts: Fact[] = [
    {
      term: "round, position",
      value: `${token.round + 1}, ${token.position + 1}`,
      help: "Which draft-and-verify step, and how far behind the committed text.",
    },
    ...sideFacts(token),
    ...decisionFacts(token),
    {
      term: "entropy",
      value: `${fixed(verdict?.entropy ?? draft?.entropy)}${verdict?.entropy == null && draft?.entropy == null ? "" : " nats"}`,
      help:
        verdict?.entropy == null ? "Of the draft's distribution here." : "Of the target's distribution here.",
    },
  ];
  if (draft) {
    if (draft.covered_mass !== null) {
      facts.push({
        term: "q covers",
        value: `${percent(draft.covered_mass)} of the draft`,
        help: COVERED_HELP,
      });
    }
    facts.push(
      { term: "drafted by", value: draft.source, help: "Where this token of the draft came from." },
      { term: "draft time", value: milliseconds(draft.draft_time_ms), help: "Time to draft this token." },
    );
    return facts;
  }
  facts.push({ term: "drafted by", value: "target", help: "Emitted by the target, not drafted." });
  // Nothing was drafted or tested here: those rows do not apply, which is not the same as unknown.
  return facts.filter((fact) => fact.value !== DASH);
}
