// The speedup of speculative decoding as a formula (Leviathan et al. 2023, section 3). Times are in plain passes.

export interface Costs {
  /** α: the probability that a drafted token is accepted, the same at every position. */
  readonly acceptance: number;
  /** c: the time of one drafted token. */
  readonly draft: number;
  /** g: how much longer a verification pass takes for each drafted token. */
  readonly growth: number;
  /** r: the round trip to the target. */
  readonly roundTrip: number;
}

export const DEEPEST = 16;

/** Mean tokens of a round: 1 + α + … + α^k = (1 − α^(k+1)) / (1 − α), equation 1. */
export const expectedTokens = (acceptance: number, k: number): number =>
  acceptance >= 1 ? k + 1 : (1 - acceptance ** (k + 1)) / (1 - acceptance);

/** The time of a round without the round trip: k · c for the draft, 1 + g · k for the verification pass. */
const computing = ({ draft, growth }: Costs, k: number): number => k * draft + 1 + k * growth;

export const roundCost = (costs: Costs, k: number): number => computing(costs, k) + costs.roundTrip;

/**
 * Speedup over plain decoding, whose tokens cost one pass each: a target across a network streams them. Theorem 3.8 of
 * Leviathan et al. with g = r = 0. Plain decoding itself for k = 0.
 */
export const speedupAt = (costs: Costs, k: number): number =>
  k === 0 ? 1 : expectedTokens(costs.acceptance, k) / roundCost(costs, k);

/** The longest round trip at which a draft of k tokens is no slower than plain decoding; negative if none is. */
export const longestRoundTrip = (costs: Costs, k: number): number =>
  expectedTokens(costs.acceptance, k) - computing(costs, k);

/** Costs of one machine, as measured. */
export interface MeasuredCosts {
  readonly acceptance: number;
  /** Time of a draft of k tokens. */
  readonly draftMs: (k: number) => number;
  /** Time of a pass of the target over so many tokens; undefined where it was not measured. */
  readonly passMs: (tokens: number) => number | undefined;
  /** Time of a plain round apart from its pass. A round with drafts has at least as much. */
  readonly otherMs: number;
}

/**
 * The speedup that the formula gives for measured costs: (1 − α^(k+1)) / (1 − α) · (t(1) + o) / (d(k) + t(k + 1) + o).
 * Null where the time of a pass is not known.
 */
export function computedSpeedup(costs: MeasuredCosts, k: number): number | null {
  const { acceptance, draftMs, passMs, otherMs } = costs;
  const [single, pass] = [passMs(1), passMs(k + 1)];
  if (single === undefined || pass === undefined) return null;
  if (k === 0) return 1;
  return (expectedTokens(acceptance, k) * (single + otherMs)) / (draftMs(k) + pass + otherMs);
}

export interface Shape {
  /** The depth from 1 on with the highest speedup, the smallest of equals. */
  readonly best: number;
  readonly speedup: number;
  /** The first depth after the best that is slower than plain decoding; null up to DEEPEST. */
  readonly cliff: number | null;
}

export function shapeOf(costs: Costs): Shape {
  const depths = Array.from({ length: DEEPEST }, (_, index) => index + 1);
  const best = depths.reduce((a, b) => (speedupAt(costs, b) > speedupAt(costs, a) ? b : a));
  const cliff = depths.find((k) => k > best && speedupAt(costs, k) < 1) ?? null;
  return { best, speedup: speedupAt(costs, best), cliff };
}
