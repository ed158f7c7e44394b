// A run that has begun, as the message that would begin it again.

import type { SamplingInfo, Start, Started } from "../protocol/generated";

/** The sampling of a run as fields of a start message, which has a field for every penalty. */
function samplingFields({ penalties, ...filters }: SamplingInfo): Partial<Start> {
  if (!penalties) return filters;
  const { presence, frequency, repetition, last_n, bias } = penalties;
  return {
    ...filters,
    presence_penalty: presence,
    frequency_penalty: frequency,
    repetition_penalty: repetition,
    repeat_last_n: last_n,
    logit_bias: bias.length > 0 ? Object.fromEntries(bias) : null,
  };
}

/** What decides the text of a run, but for its seed. */
export function sameText({ prompt, max_tokens, sampling, grammar }: Started): Partial<Start> {
  return { ...samplingFields(sampling), ...(grammar ? { grammar } : {}), prompt, max_tokens };
}
