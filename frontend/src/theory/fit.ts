// Whether counts follow a distribution: Pearson's chi-square test.

/** Fewer expected draws of a token than this make the test unreliable. */
const LEAST_EXPECTED = 5;
/** The 99.9 % quantiles of chi-square for 1 to 6 degrees of freedom: exceeded by chance once in a thousand tests. */
const LIMITS = [10.828, 13.816, 16.266, 18.467, 20.515, 22.458];

export interface Fit {
  /** Σ (counted − expected)² / expected. */
  readonly statistic: number;
  readonly limit: number;
  readonly follows: boolean;
}

/** Null with too few draws, and for more than seven tokens. */
export function fitOf(counts: readonly number[], distribution: readonly number[]): Fit | null {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  const limit = LIMITS[counts.length - 2];
  const expected = distribution.map((probability) => probability * draws);
  if (limit === undefined || expected.some((value) => value < LEAST_EXPECTED)) return null;
  const statistic = expected.reduce(
    (sum, value, token) => sum + ((counts[token] ?? 0) - value) ** 2 / value,
    0,
  );
  return { statistic, limit, follows: statistic <= limit };
}
