// Random numbers from a seed, and draws from a distribution.

/** A uniform number in [0, 1) at each call. */
export type Random = () => number;

/** The generator mulberry32: the same seed gives the same numbers. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The index whose part of the cumulative distribution contains `uniform`. Only tokens above 0 are drawn. */
export function drawFrom(distribution: readonly number[], uniform: number): number {
  let sum = 0;
  for (const [token, probability] of distribution.entries()) {
    sum += probability;
    if (uniform < sum) return token;
  }
  // The sum can be less than 1 by rounding.
  return distribution.findLastIndex((probability) => probability > 0);
}
