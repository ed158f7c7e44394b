// The noise floor of a target's kernels, and where a greedy text departs from plain decoding, in words.
import type { Departure, NoiseFloor } from "../protocol/generated";
import { fixed, shownInText, variation } from "./format";

/** The measurement. `remote`: the target runs on another server, which alone could measure. */
export function floorWords(floor: NoiseFloor | null, remote: boolean): string {
  if (!floor) {
    return remote
      ? "The noise floor of the target’s kernels is unknown here."
      : "The noise floor of the kernels has not been measured yet.";
  }
  if (floor.proven) {
    return `0 by proof, not by a sample: every shape of a pass was compared with plain decoding, up to ${floor.context_tokens} tokens of context, and all logits are equal bit by bit.`;
  }
  const { mean_total_variation, max_total_variation, argmax_agreement, tokens } = floor;
  const best =
    argmax_agreement === 1
      ? `the most probable token was the same at all ${tokens} positions`
      : `the most probable token was the same at ${Math.round(argmax_agreement * tokens)} of ${tokens} positions`;
  return `${conditions(floor)}: ${variation(mean_total_variation)} on average, ${variation(max_total_variation)} at most, and ${best}.`;
}

/** Older traces have no context and no rows. */
function conditions({ context_tokens, rows }: NoiseFloor): string {
  if (context_tokens === 0 || rows === 0) return "Measured at an unknown context";
  return `Measured at ${context_tokens} tokens of context, ${rows} rows per pass`;
}

/** What the noise floor is; with a proof, what follows from it. */
export function aboutFloor(floor: NoiseFloor | null): string {
  return floor?.proven
    ? "The target is batch-invariant: its logits do not depend on how many tokens share a pass. So at T=0 the text with speculation is the text of plain decoding, bit for bit."
    : "A pass over several tokens rounds differently from passes over one, in every engine; the noise floor is the total variation between the two next-token distributions, 0 to 1.";
}

export function departureWords({ position, speculative_token, plain_token }: Departure): string {
  return `At T=0 the text with speculation departs from plain decoding at token ${position + 1}: '${shownInText(speculative_token)}' instead of '${shownInText(plain_token)}'.`;
}

/**
 * The total variation that suffices to exchange two tokens whose log-probabilities differ by `margin` m:
 * with p + p' ≤ 1 it is (p − p') / 2 = (p + p') tanh(m / 2) / 2 ≤ tanh(m / 2) / 2.
 */
export const exchangeVariation = (margin: number): number => Math.tanh(margin / 2) / 2;

/** Whether the noise that was measured can exchange the two tokens; null if the margin or the noise is unknown. */
export function isNearTie({ margin }: Departure, floor: NoiseFloor | null): boolean | null {
  if (margin === null || floor === null) return null;
  return floor.max_total_variation >= exchangeVariation(margin);
}

const MORE_DIGITS = [5, 7, 9] as const;

/** Two total variations; if the noise is too small, with as many decimals as it takes to see that. */
function comparedVariations(needed: number, noise: number): readonly [needed: string, noise: string] {
  const usual = [variation(needed), variation(noise)] as const;
  if (needed <= noise || usual[0] !== usual[1]) return usual;
  const longer = MORE_DIGITS.map((digits) => [needed.toFixed(digits), noise.toFixed(digits)] as const);
  return longer.find(([a, b]) => a !== b) ?? [String(needed), String(noise)];
}

/** What is known of the cause: near tie or not, with the figures that decide. */
export function causeWords(departure: Departure, floor: NoiseFloor | null): string {
  const { margin } = departure;
  const largest = floor?.max_total_variation ?? null;
  if (margin === null) {
    return largest === null
      ? "The margin between the two tokens and the noise floor are unknown, so it is unknown whether this is a near tie."
      : `The margin between the two tokens is unknown, so it is unknown whether this is a near tie; the noise floor is ${variation(largest)} at most.`;
  }
  const needed = exchangeVariation(margin);
  const [enough, noise] = comparedVariations(needed, largest ?? needed);
  const figures = `The margin is ${fixed(margin, 3)} nats, so a total variation of ${enough} suffices to exchange the two tokens`;
  if (largest === null) {
    return `${figures}; the noise floor is unknown, so it is unknown whether this is a near tie.`;
  }
  return isNearTie(departure, floor)
    ? `A near tie. ${figures}, and the noise floor is ${noise} at most.`
    : `Not a near tie. ${figures}, but the noise floor is ${noise} at most: the measured noise does not explain the departure.`;
}
