// The words of the scene "One token a pass".
import type { Run } from "../../run/model";
import { firstTokenMs, type Plain, prefillMs, weightsRead } from "../../theory/waiting";
import { bytes, fixed, milliseconds, percent, whole } from "../format";
import type { SliderOf } from "./sliders";

export const LEAD =
  "A language model writes one token at a time. For each token it reads all of its weights from memory: one pass. The next pass must wait, because its input is the token of this one.";

export const SLIDERS: readonly SliderOf<Plain>[] = [
  { field: "promptTokens", name: "Prompt", lowest: 0, highest: 8000, step: 1, help: "Its length in tokens" },
  {
    field: "cached",
    name: "Cached part",
    lowest: 0,
    highest: 1,
    step: 0.05,
    help: "Prompt tokens known from an earlier request",
  },
  {
    field: "prefillTps",
    name: "Prefill speed",
    lowest: 50,
    highest: 5000,
    step: 1,
    help: "Prompt tokens in one pass share the reading of the weights",
  },
  {
    field: "decodeTps",
    name: "Decode speed",
    lowest: 1,
    highest: 200,
    step: 1,
    help: "One pass for each token",
  },
  {
    field: "roundTripMs",
    name: "Round trip",
    lowest: 0,
    highest: 500,
    step: 5,
    help: "To the server and back",
  },
];

export function sliderWords(field: keyof Plain, value: number): string {
  switch (field) {
    case "promptTokens":
      return `${whole(value)} tokens`;
    case "cached":
      return percent(value);
    case "roundTripMs":
      return `${value} ms`;
    default:
      return `${whole(value)} tokens/s`;
  }
}

/** The wait for the first token, and the one for each later token. */
export const waitWords = (plain: Plain): string =>
  `First token after ${milliseconds(firstTokenMs(plain))}: ${plain.roundTripMs} ms round trip + ` +
  `${milliseconds(prefillMs(plain))} prefill. Then a token every ${milliseconds(1000 / plain.decodeTps)}. Computed.`;

/** What makes the wait shorter, or hides it. */
export const HELPS: readonly (readonly [string, string])[] = [
  [
    "Prompt caching",
    "keeps what attention reads of each token, its keys and values (the KV cache), for a prompt that comes again, such as a system message. Drag “Cached part”.",
  ],
  [
    "Paged KV cache",
    "stores it in small blocks, so that more requests fit into memory and share cached prompts.",
  ],
  [
    "Chunked prefill",
    "computes a long prompt in pieces, so that the tokens of other requests do not wait for all of it.",
  ],
  [
    "Continuous batching",
    "lets a new request join the running passes at once. Many requests then share one reading of the weights.",
  ],
];

export const SHORTENS_DECODING =
  "None of these makes the passes of one answer fewer. That is what speculative decoding does: several tokens from one pass.";

/** What the recorded run measured: plain decoding and the prompt. */
export interface RecordedPlain {
  readonly sizeBytes: number;
  readonly decodeTps: number;
  readonly promptTokens: number;
  readonly prefillMs: number;
}

/** Null without a baseline, a file size, or the time of the prompt. */
export function recordedPlain(run: Run): RecordedPlain | null {
  const sizeBytes = run.started?.target_model.size_bytes ?? null;
  const decodeTps = run.started?.baseline?.tps ?? null;
  const measuredMs = run.rounds[0]?.metrics?.prefill_ms ?? 0;
  if (sizeBytes === null || decodeTps === null || measuredMs <= 0) return null;
  return { sizeBytes, decodeTps, promptTokens: run.started?.prompt_tokens ?? 0, prefillMs: measuredMs };
}

export const measuredWords = (run: RecordedPlain): string =>
  `The target of the recorded run has ${bytes(run.sizeBytes)} of weights. Alone it wrote ${fixed(run.decodeTps, 1)} tokens ` +
  `per second, so it read ${bytes(weightsRead(run.sizeBytes, run.decodeTps))} of weights per second. Its prompt of ` +
  `${run.promptTokens} tokens took ${milliseconds(run.prefillMs)}. All measured.`;
