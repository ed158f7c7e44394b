// The words of the scene "A busy server".
import type { RunCosts } from "../../run/costs";
import {
  BATCHES,
  type BatchCosts,
  batchRound,
  batchSpeedup,
  largestGain,
  passTime,
} from "../../theory/batch";
import { expectedTokens } from "../../theory/speedup";
import { fixed, percent, plural } from "../format";
import type { SliderOf } from "./sliders";

export const LEAD =
  "A server with many users computes a token for each of them in one pass. The pass reads the weights once for all. Drafts use the time that the processor would wait for the weights: a full batch leaves no such time.";

export const WHY =
  "F is the number of rows that a pass computes while it reads the weights. A request needs 1 row without a draft and k + 1 rows with one. Below F all rows are free; above it every row costs time, also those of drafts that are rejected.";

export const SLIDERS: readonly SliderOf<BatchCosts>[] = [
  {
    field: "freeRows",
    name: "Free rows F",
    lowest: 1,
    highest: 512,
    step: 1,
    help: "A few on a CPU, hundreds on a GPU",
  },
  {
    field: "k",
    name: "Draft length k",
    lowest: 1,
    highest: 16,
    step: 1,
    help: "Tokens drafted for each request",
  },
  {
    field: "acceptance",
    name: "Acceptance α",
    lowest: 0,
    highest: 0.99,
    step: 0.01,
    help: "How often the target accepts a drafted token",
  },
  {
    field: "draft",
    name: "Draft cost c",
    lowest: 0,
    highest: 1,
    step: 0.01,
    help: "In passes of the target",
  },
];

export function sliderWords(field: keyof BatchCosts, value: number): string {
  if (field === "acceptance") return percent(value);
  if (field === "draft") return `${fixed(value)} passes`;
  return plural(value, field === "k" ? "token" : "row");
}

export function gainWords(costs: BatchCosts): string {
  const largest = largestGain(costs);
  if (largest === null) return "Drafting does not pay, not even for one request. Computed.";
  if (largest === BATCHES.at(-1)) return `Drafting pays for every batch up to ${largest} requests. Computed.`;
  return `Drafting pays up to a batch of ${plural(largest, "request")}. A larger batch is slower with drafts. Computed.`;
}

/** The formula with its numbers, for one batch. */
export function batchArithmetic(costs: BatchCosts, requests: number): string {
  const tokens = fixed(expectedTokens(costs.acceptance, costs.k));
  const plain = fixed(passTime(requests, costs.freeRows));
  const round = fixed(batchRound(costs, requests));
  return `${plural(requests, "request")}: ${tokens} tokens a round × ${plain} passes without a draft ÷ ${round} passes with one = ${fixed(batchSpeedup(costs, requests))}×, computed.`;
}

export const measuredWords = (run: RunCosts): string =>
  `Measured: in the recorded run, with a single user, a pass over ${run.k + 1} rows took ${fixed(run.passRatio)} ` +
  "times as long as one over 1 row. Rows that are not free cost time even for one request.";
