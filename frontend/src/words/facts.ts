// The numbers of one token, in words and in the order of the decision they explain.
import type { SiblingInfo } from "../run/branches";
import type { Token } from "../run/model";
import { DASH, fixed, milliseconds, percent, probability, shown } from "./format";

export interface Fact {
  readonly term: string;
  readonly value: string;
  readonly help: string;
  /** The drafter it names, which has a sign of its own. */
  readonly source?: string;
}

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

/** A certain decision needs no draw, which is not the same as an unknown one. */
function drawn({ verdict }: Token): string {
  const certain = verdict?.acceptance_prob === 0 || verdict?.acceptance_prob === 1;
  return certain && verdict.uniform === null ? "none needed" : fixed(verdict?.uniform, 3);
}

const COMPARISON: Fact = {
  term: "decided by",
  value: "comparison",
  help: "The target draws tokens itself and tells no probabilities: the draft is kept while it equals those draws.",
};

/** Where tokens are compared no number is held against a probability. */
function decisionFacts(token: Token): Fact[] {
  if (token.compared) return [COMPARISON];
  const chance = percent(token.verdict?.acceptance_prob);
  switch (token.rule) {
    case "token":
      return [
        {
          term: "acceptance prob.",
          value: chance,
          help: "min(1, p/q): the share of draws in which this token would be kept.",
        },
        {
          term: "uniform drawn",
          value: drawn(token),
          help: "The random number the acceptance probability was held against.",
        },
      ];
    case "block":
      return [
        {
          term: "prefix kept with",
          value: chance,
          help: "How likely the whole prefix that ends here is kept, once no longer one was.",
        },
        {
          term: "uniform drawn",
          value: drawn(token),
          help: "The random number that probability was held against; none where a longer prefix was kept.",
        },
      ];
    case "match":
      return [
        {
          term: "chance of a match",
          value: chance,
          help: "The target's probability of saying the same. It draws a token of its own, and keeps the draft where they are equal.",
        },
      ];
    case "typical":
      return [
        {
          term: "target p",
          value: percent(token.verdict?.target_prob),
          help: "Kept where p ≥ min(ε, δ·exp(−H)): a threshold instead of a chance, which is why the rule is lossy.",
        },
      ];
  }
}

/** Which of the alternatives for its place it is. */
function branchFacts(siblingInfo: SiblingInfo | null): Fact[] {
  if (!siblingInfo || siblingInfo.number === 0) return [];
  const behind = siblingInfo.parent ? `behind “${shown(siblingInfo.parent.label)}”` : "behind the text";
  const facts = [
    {
      term: "sibling",
      value:
        siblingInfo.count === 1
          ? `the only one, ${behind}`
          : `${siblingInfo.number} of ${siblingInfo.count}, ${behind}`,
      help: "Drafted alternatives for the same place; they are tested in this order.",
    },
  ];
  if (siblingInfo.duplicateOf === 0) return facts;
  const twin = {
    term: "same token as",
    value: `sibling ${siblingInfo.duplicateOf}`,
    help: "Two drafts said the same. A drawn token is never withdrawn: both are tested, in turn.",
  };
  return [...facts, twin];
}

function entropyFact({ verdict, draft }: Token): Fact {
  const ofTarget = verdict?.entropy != null;
  const entropy = verdict?.entropy ?? draft?.entropy ?? null;
  return {
    term: "entropy",
    value: entropy === null ? DASH : `${fixed(entropy)} nats`,
    help: ofTarget ? "Of the target's distribution here." : "Of the draft's distribution here.",
  };
}

function draftFacts({ draft }: Token): Fact[] {
  if (!draft) return [{ term: "drafted by", value: "target", help: "Emitted by the target, not drafted." }];
  const covered: Fact[] =
    draft.covered_mass === null
      ? []
      : [{ term: "q covers", value: `${percent(draft.covered_mass)} of the draft`, help: COVERED_HELP }];
  return [
    ...covered,
    {
      term: "drafted by",
      value: draft.source,
      help: "Where this token of the draft came from.",
      source: draft.source,
    },
    { term: "draft time", value: milliseconds(draft.draft_time_ms), help: "Time to draft this token." },
  ];
}

export function tokenFacts(token: Token, siblingInfo: SiblingInfo | null = null): Fact[] {
  const facts: Fact[] = [
    {
      term: "round, position",
      value: `${token.round + 1}, ${token.position + 1}`,
      help: "Which draft-and-verify step, and how far behind the committed text.",
    },
    ...branchFacts(siblingInfo),
    ...sideFacts(token),
    ...decisionFacts(token),
    entropyFact(token),
    ...draftFacts(token),
  ];
  // Nothing was drafted or tested there: those rows do not apply, which is not the same as unknown.
  return token.draft ? facts : facts.filter((fact) => fact.value !== DASH);
}
