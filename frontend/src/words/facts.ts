// The figures of one token, in the order of the decision that they explain.
import type { SiblingInfo } from "../run/branches";
import type { Token } from "../run/model";
import { DASH, fixed, milliseconds, percent, probability, shown } from "./format";
import { givenHelp } from "./sources";

export interface Fact {
  readonly term: string;
  readonly value: string;
  readonly help: string;
  /** The drafter that the value names; the page shows its letter. */
  readonly source?: string;
}

const RAW_HELP =
  "Natural logarithm of the model's probability of this token at temperature 1, before temperature and filters. The rule does not use it.";

const USED_HELP =
  "The probability of this token that the rule used: after temperature and filters. At temperature 0 it is 100 % for the most probable token.";

/** p and q as the rule used them. */
function usedFacts({ draft, verdict, status }: Token): Fact[] {
  const p = verdict?.target_prob ?? null;
  const q = verdict?.draft_prob ?? draft?.draft_prob ?? null;
  const residual = status === "resampled";
  return [
    {
      term: residual ? "residual" : "target p",
      value: percent(p),
      help: residual ? "The probability of this token in the residual that it was drawn from." : USED_HELP,
    },
    { term: "draft q", value: percent(q), help: USED_HELP },
  ];
}

const COVERED_HELP =
  "The share of the draft model's distribution that lies on the support of q: q holds only its most probable tokens, renormalised. The rest costs acceptance, never exactness.";

function logprobFacts({ draft, verdict }: Token): Fact[] {
  const target = verdict?.target_logprob ?? null;
  const own = verdict?.draft_logprob ?? draft?.logprob ?? null;
  return [
    { term: "target log-prob, raw", value: logprobWords(target), help: RAW_HELP },
    { term: "draft log-prob, raw", value: logprobWords(own), help: RAW_HELP },
  ];
}

const logprobWords = (logprob: number | null): string =>
  logprob === null ? DASH : `${fixed(logprob)} (${percent(probability(logprob))})`;

/** A certain decision needs no random number. That is not the same as an unknown one. */
function uniformWords({ verdict }: Token): string {
  const certain = verdict?.acceptance_prob === 0 || verdict?.acceptance_prob === 1;
  return certain && verdict.uniform === null ? "none needed" : fixed(verdict?.uniform, 3);
}

const COMPARISON: Fact = {
  term: "decided by",
  value: "comparison",
  help: "The target returns tokens that it drew, without probabilities. A draft is accepted while it equals them.",
};

/** How the rule decided. A comparison has no probabilities. */
function decisionFacts(token: Token): Fact[] {
  if (token.compared) return [COMPARISON];
  const acceptance = percent(token.verdict?.acceptance_prob);
  switch (token.rule) {
    case "token":
      return [
        {
          term: "acceptance prob.",
          value: acceptance,
          help: "min(1, p/q): the probability that this token is accepted.",
        },
        {
          term: "uniform",
          value: uniformWords(token),
          help: "A random number in [0, 1). The token is accepted if it is below the acceptance probability.",
        },
      ];
    case "block":
      return [
        {
          term: "prefix acceptance prob.",
          value: acceptance,
          help: "The probability that the whole prefix up to this token is accepted, if no longer prefix was.",
        },
        {
          term: "uniform",
          value: uniformWords(token),
          help: "The random number that decides about this prefix; none where a longer prefix was accepted.",
        },
      ];
    case "match":
      return [
        {
          term: "match prob.",
          value: acceptance,
          help: "The target's probability of this token. The target draws a token, and the draft is accepted if both are equal.",
        },
      ];
    case "typical":
      return [
        {
          term: "decided by",
          value: "threshold on p",
          help: "Accepted if p ≥ min(ε, δ·exp(−H)), H being the entropy of p. A threshold decides instead of a random number, so the rule is lossy.",
        },
      ];
  }
}

/** Which of its siblings the token is. */
function siblingFacts(info: SiblingInfo | null): Fact[] {
  if (!info || info.number === 0) return [];
  const after = info.parent ? `after “${shown(info.parent.label)}”` : "after the text";
  const facts = [
    {
      term: "sibling",
      value: info.count === 1 ? `the only one, ${after}` : `${info.number} of ${info.count}, ${after}`,
      help: "The alternatives that were drafted after the same token. They are tested in this order.",
    },
  ];
  if (info.duplicateOf === 0) return facts;
  const duplicate = {
    term: "same token as",
    value: `sibling ${info.duplicateOf}`,
    help: "Two drafts proposed the same token. A drawn token is never withdrawn, so both are tested in turn.",
  };
  return [...facts, duplicate];
}

function entropyFact({ verdict, draft }: Token): Fact {
  const ofTarget = verdict?.entropy != null;
  const entropy = verdict?.entropy ?? draft?.entropy ?? null;
  return {
    term: "entropy",
    value: entropy === null ? DASH : `${fixed(entropy)} nats`,
    help: `The entropy of the ${ofTarget ? "target" : "draft"}'s distribution at this position.`,
  };
}

function draftFacts({ draft }: Token): Fact[] {
  if (!draft)
    return [{ term: "drafted by", value: "none", help: "The target emitted this token without a draft." }];
  const covered: Fact[] =
    draft.covered_mass === null
      ? []
      : [{ term: "covered mass", value: percent(draft.covered_mass), help: COVERED_HELP }];
  return [
    ...covered,
    {
      term: "drafted by",
      value: draft.source,
      help: givenHelp(draft.source) || "The drafter that proposed this token.",
      source: draft.source,
    },
    { term: "draft time", value: milliseconds(draft.draft_time_ms), help: "The time to draft this token." },
  ];
}

export function tokenFacts(token: Token, siblingInfo: SiblingInfo | null = null): Fact[] {
  const facts: Fact[] = [
    {
      term: "round, position",
      value: `${token.round + 1}, ${token.position + 1}`,
      help: "The draft-and-verify step, and the position after the committed text. Both count from 1.",
    },
    ...siblingFacts(siblingInfo),
    ...(token.compared ? [] : usedFacts(token)),
    ...decisionFacts(token),
    ...logprobFacts(token),
    entropyFact(token),
    ...draftFacts(token),
  ];
  // A token that was not drafted has no draft figures. They are left out, because a dash means unknown.
  return token.draft ? facts : facts.filter((fact) => fact.value !== DASH);
}
