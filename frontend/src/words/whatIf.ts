// The answers of "what if" in words.
import type { WhatIfAnswer, WhatIfChoice } from "../protocol/generated";
import { fixed, milliseconds, plural } from "./format";
import { depthWords } from "./policies";

export const WHAT_IF_HELP =
  "What this run would have been with other choices, computed by the server from the recorded drafts and the measured times. No model runs. Hatched is computed, solid is measured.";

const RATE = "tokens per second";

/** "1 sequence" is not mentioned: it is the usual case. */
const together = (batch: number): string => (batch === 1 ? "" : ` of ${batch} sequences together`);

/** The best depth, against plain decoding. */
export function whatIfVerdict(answer: WhatIfAnswer): string {
  const { best, best_share, policy, batch } = answer;
  const choice = answer.choices.find(({ depth }) => depth === best);
  const sure =
    best_share === null
      ? ""
      : ` It is the fastest in ${fixed(100 * best_share, 0)} % of the resamples of the text.`;
  if (!choice) {
    return `Plain decoding would be the fastest: ${fixed(answer.plain_tps, 1)} ${RATE}${together(batch)}, computed.${sure}`;
  }
  const name = depthWords(policy, best);
  return `${name} would be the fastest: ${fixed(choice.tps, 1)} ${RATE}${together(batch)}, ${fixed(choice.speedup)}× plain decoding, computed.${sure}`;
}

/** Whether the accepted tokens of a choice are certain; times are computed in any case. */
export const exactWords = (exact: boolean): string =>
  exact ? "Accepted tokens exact, times computed." : "An estimate.";

/** The interval of a choice: "3.8 to 4.7"; empty for a text that is too short. */
export const intervalWords = ({ low, high }: WhatIfChoice): string =>
  low === null || high === null ? "" : `${fixed(low, 1)} to ${fixed(high, 1)}`;

/** One depth with its arithmetic. Null stands for plain decoding. */
export function choiceWords(answer: WhatIfAnswer, choice: WhatIfChoice | null): string {
  const { level, batch, plain_tps, policy } = answer;
  if (!choice) {
    const ms = (1000 * batch) / plain_tps;
    return `Plain: one token a round in ${milliseconds(ms)}: ${fixed(plain_tps, 1)} ${RATE}, computed.`;
  }
  const bounds = intervalWords(choice);
  const interval = bounds && ` (${fixed(100 * level, 0)} %: ${bounds})`;
  const passes = choice.measured_passes ? "" : "about ";
  return (
    `${depthWords(policy, choice.depth)}: ${fixed(choice.tokens_per_round)} tokens a round in ${milliseconds(choice.round_ms)}, ` +
    `of which ${milliseconds(choice.draft_ms)} draft and ${passes}${milliseconds(choice.verify_ms)} verify: ` +
    `${fixed(choice.tps, 1)} ${RATE}${interval}, ${fixed(choice.speedup)}× plain decoding. ${exactWords(choice.exact)}`
  );
}

/** What the figures stand on, and what they leave out. */
export function whatIfNotes(answer: WhatIfAnswer): string[] {
  const { tokens, passes_given, batch, measured_tps, choices, left_out, whole, best_share } = answer;
  const notes = [
    `From ${plural(tokens, "recorded token")}, with ${passes_given ? "the given pass times" : "the pass times of the recording machine"}.`,
  ];
  if (measured_tps !== null) {
    notes.push(`Measured as it was, evidence not counted: ${fixed(measured_tps, 1)} ${RATE}.`);
  }
  if (batch > 1) {
    notes.push(
      `${batch} sequences draft equally deep at the same time. What a drafted token of all of them takes is an assumption; set it if it was measured.`,
    );
  }
  if (choices.some(({ measured_passes }) => !measured_passes)) {
    notes.push("Passes of a size that was not measured are interpolated between those that were.");
  }
  if (left_out.length > 0) {
    notes.push(`Left out: K ${left_out.join(", ")}, whose passes are larger than every measured one.`);
  }
  if (!whole) {
    notes.push("The record ends before the text: the answer is about the part that was recorded.");
  }
  if (best_share === null) notes.push("The text is too short for intervals: they need 128 tokens.");
  return notes;
}

/** All that the picture shows. */
export function whatIfPicture({ plain_tps, choices, policy }: WhatIfAnswer): string {
  const rates = choices.map(({ depth, tps }) => `${depthWords(policy, depth)} ${fixed(tps, 1)}`);
  return `Computed ${RATE}: ${[`plain ${fixed(plain_tps, 1)}`, ...rates].join(", ")}`;
}
