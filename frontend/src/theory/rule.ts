// Modified rejection sampling of one token (Leviathan et al. 2023, algorithm 1), and three broken versions of it.
import { drawFrom, type Random } from "./chance";

/** Probabilities of the same tokens, in one order; they add up to 1. */
export type Distribution = readonly number[];

/**
 * `exact` accepts with min(1, p/q). `always` accepts every draft. `target` accepts with p alone: q is forgotten. `again`
 * accepts with min(1, p/q) and draws the replacement from p instead of the residual.
 */
export const RULES = ["exact", "always", "target", "again"] as const;
export type Rule = (typeof RULES)[number];

/** No token is certain or impossible, so that every quotient exists. */
export const LEAST = 0.01;

const at = (distribution: Distribution, token: number): number => distribution[token] ?? 0;
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** One token gets `share`; the others keep their proportions. All stay at or above LEAST. */
export function withShare(distribution: Distribution, token: number, share: number): Distribution {
  const others = distribution.length - 1;
  const own = Math.min(1 - others * LEAST, Math.max(LEAST, share));
  const before = total(distribution) - at(distribution, token) - others * LEAST;
  const free = 1 - own - others * LEAST;
  return distribution.map((value, index) => {
    if (index === token) return own;
    return LEAST + free * (before > 1e-9 ? (value - LEAST) / before : 1 / others);
  });
}

export const overlaps = (p: Distribution, q: Distribution): number[] =>
  p.map((value, token) => Math.min(value, at(q, token)));

/** The probability that a draft from q is accepted by the exact rule: Σ min(p, q). */
export const acceptance = (p: Distribution, q: Distribution): number => total(overlaps(p, q));

/** max(0, p − q), normalised; p itself where q = p, which the exact rule never rejects. */
export function residual(p: Distribution, q: Distribution): Distribution {
  const parts = p.map((value, token) => Math.max(0, value - at(q, token)));
  const sum = total(parts);
  return sum > 1e-12 ? parts.map((part) => part / sum) : p;
}

/** What the token in place of a rejected draft is drawn from. */
export const replacement = (rule: Rule, p: Distribution, q: Distribution): Distribution =>
  rule === "again" ? p : residual(p, q);

/** The probability that a rule accepts a drafted token. */
export function acceptProb(rule: Rule, p: Distribution, q: Distribution, token: number): number {
  if (rule === "always") return 1;
  if (rule === "target") return at(p, token);
  return Math.min(1, at(p, token) / at(q, token));
}

/** One draw, with every number that decided it. */
export interface Draw {
  /** The uniform of the draw from q. */
  readonly draftUniform: number;
  readonly drafted: number;
  readonly acceptProb: number;
  readonly uniform: number;
  readonly accepted: boolean;
  /** The uniform of the draw from the residual; null after an accepted draft. */
  readonly redraw: number | null;
  readonly emitted: number;
}

export function verify(rule: Rule, p: Distribution, q: Distribution, random: Random): Draw {
  const draftUniform = random();
  const drafted = drawFrom(q, draftUniform);
  const limit = acceptProb(rule, p, q, drafted);
  const uniform = random();
  const accepted = uniform < limit;
  const redraw = accepted ? null : random();
  const emitted = redraw === null ? drafted : drawFrom(replacement(rule, p, q), redraw);
  return { draftUniform, drafted, acceptProb: limit, uniform, accepted, redraw, emitted };
}

/** The distribution of the emitted token, computed: q(x) · a(x) + (1 − Σ q · a) · replacement(x). It is p for `exact`. */
export function outputOf(rule: Rule, p: Distribution, q: Distribution): Distribution {
  const kept = q.map((value, token) => value * acceptProb(rule, p, q, token));
  const rejected = 1 - total(kept);
  const rest = replacement(rule, p, q);
  return kept.map((value, token) => value + rejected * at(rest, token));
}

/** How often each token was emitted in `draws` draws. */
export function countDraws(
  rule: Rule,
  p: Distribution,
  q: Distribution,
  draws: number,
  random: Random,
): number[] {
  const counts = p.map(() => 0);
  for (let draw = 0; draw < draws; draw += 1) {
    const { emitted } = verify(rule, p, q, random);
    counts[emitted] = (counts[emitted] ?? 0) + 1;
  }
  return counts;
}
