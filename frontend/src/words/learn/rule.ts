// The words of the scene "The rule".
import type { Fit } from "../../theory/fit";
import type { Draw, Rule } from "../../theory/rule";
import { fixed, percent, whole } from "../format";

export const LEAD =
  "A draft comes from the small model, with probabilities q. The text must follow the target, with probabilities p. One test per token makes that true, whatever q is.";

export const RULE_NAMES: readonly { readonly value: Rule; readonly name: string; readonly help: string }[] = [
  { value: "exact", name: "min(1, p/q)", help: "The rule of speculative decoding" },
  { value: "always", name: "always accept", help: "Broken: the draft is never tested" },
  { value: "target", name: "p instead of p/q", help: "Broken: q is forgotten" },
  {
    value: "again",
    name: "redraw from p",
    help: "Broken: the replacement is drawn from p, not from the residual",
  },
];

export const RULE_NOTES: Readonly<Record<Rule, string>> = {
  exact:
    "Each token comes out with probability p. Change p and q as you like: only the number of accepted drafts changes. The recorded run lends p and q of one of its decisions, scaled to five tokens.",
  always: "Broken on purpose: what comes out follows q, the small model.",
  target:
    "Broken on purpose: q(x) · p(x) is too small for an accepted token, and the draw after a rejection does not repair it.",
  again:
    "Broken on purpose: tokens that q has too little of come out too rarely, because a draw from p does not make up for them.",
};

/** What each of the three steps of one draw did. The third is empty after an accepted draft. */
export function drawWords(
  draw: Draw,
  tokens: readonly string[],
  rule: Rule,
): readonly [string, string, string] {
  const drafted = tokens[draw.drafted] ?? "";
  const sign = draw.accepted ? "<" : "≥";
  const test = `${fixed(draw.uniform, 3)} ${sign} ${fixed(draw.acceptProb, 3)}`;
  const verdict = draw.accepted ? "accepted" : "rejected";
  return [
    `Draft: q gives “${drafted}”.`,
    rule === "always" ? "Test: none. Every draft is accepted." : `Test: the uniform is ${test}: ${verdict}.`,
    draw.redraw === null
      ? ""
      : `Redraw: ${rule === "again" ? "p" : "the residual"} gives “${tokens[draw.emitted] ?? ""}”.`,
  ];
}

/** What the counts show, in one or two sentences. */
export function fitWords(draws: number, fit: Fit | null): string {
  if (draws === 0) return "Nothing is drawn yet. Drag the blue ends of p and q, then draw.";
  const count = `${whole(draws)} ${draws === 1 ? "draw" : "draws"}`;
  if (!fit) return `${count}: too few to compare with p.`;
  const limit = fixed(fit.limit, 1);
  return fit.follows
    ? `${count}. What came out follows p: chi-square ${fixed(fit.statistic, 1)}, below the limit ${limit}.`
    : `${count}. What came out does not follow p: chi-square ${fixed(fit.statistic, 1)}. By chance it exceeds ${limit} once in 1,000 tests.`;
}

export const acceptedWords = (share: number): string =>
  `Computed: the rule min(1, p/q) accepts ${percent(share)} of these drafts, the overlap of p and q.`;
