// Speculative decoding of several requests in one pass, by the roofline model: a pass waits for the weights or computes.
import { expectedTokens } from "./speedup";

export interface BatchCosts {
  /** α: the probability that a drafted token is accepted. */
  readonly acceptance: number;
  /** c: the time of one drafted token, in passes of the target. */
  readonly draft: number;
  /** Tokens in a draft. */
  readonly k: number;
  /** F: the rows that a pass computes in the time of reading the weights once. */
  readonly freeRows: number;
}

/** max(1, n / F): the time of a pass over n rows, in passes over one row. */
export const passTime = (rows: number, freeRows: number): number => Math.max(1, rows / freeRows);

/** The time of a round of all requests: k draft passes over one row a request, one pass over k + 1 rows a request. */
export const batchRound = ({ draft, k, freeRows }: BatchCosts, requests: number): number =>
  k * draft * passTime(requests, freeRows) + passTime(requests * (k + 1), freeRows);

/** Tokens a second with drafts over tokens a second without, both for the same number of requests. */
export const batchSpeedup = (costs: BatchCosts, requests: number): number =>
  (expectedTokens(costs.acceptance, costs.k) * passTime(requests, costs.freeRows)) /
  batchRound(costs, requests);

export const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;

/** The largest of the batches up to which drafting is no slower at any size; null if it never is. */
export function largestGain(costs: BatchCosts): number | null {
  const slower = BATCHES.findIndex((requests) => batchSpeedup(costs, requests) < 1);
  return slower < 0 ? (BATCHES.at(-1) ?? null) : (BATCHES[slower - 1] ?? null);
}
