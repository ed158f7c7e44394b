// The time of plain decoding: the wait for the first token, then one pass for each token.

export interface Plain {
  readonly promptTokens: number;
  /** The part of the prompt whose keys and values are kept from an earlier request, 0 to 1. */
  readonly cached: number;
  /** Prompt tokens per second. */
  readonly prefillTps: number;
  /** Tokens of the answer per second. */
  readonly decodeTps: number;
  readonly roundTripMs: number;
}

/** (1 − cached) · prompt / prefill speed. */
export const prefillMs = ({ promptTokens, cached, prefillTps }: Plain): number =>
  (1000 * promptTokens * (1 - cached)) / prefillTps;

/** Round trip + prefill: the last row of the prefill already gives the first token. */
export const firstTokenMs = (plain: Plain): number => plain.roundTripMs + prefillMs(plain);

/** When each of `count` tokens arrives at the reader. The answer streams, so only the first waits for the round trip. */
export const arrivalsMs = (plain: Plain, count: number): number[] =>
  Array.from({ length: count }, (_, token) => firstTokenMs(plain) + (1000 * token) / plain.decodeTps);

/** Bytes of weights that decoding reads per second: every token reads all weights once. */
export const weightsRead = (bytes: number, decodeTps: number): number => bytes * decodeTps;
