// The parts of a round's time.
import type { Metrics } from "../protocol/generated";

export type TimePart = "draft" | "verify" | "network" | "evidence" | "other";

/** The five parts of a round's time; they add up to it. */
export function timeParts(metrics: Metrics): { part: TimePart; ms: number }[] {
  return [
    { part: "draft", ms: metrics.draft_ms },
    { part: "verify", ms: metrics.verify_ms },
    { part: "network", ms: metrics.network_ms },
    { part: "evidence", ms: metrics.evidence_ms },
    { part: "other", ms: metrics.other_ms },
  ];
}

/** Less than this is shown as 0.0 ms: the time it takes to find that there is nothing to draft ahead. */
const LEAST_AHEAD_MS = 0.05;

/** Drafting of the next round while this one was verified elsewhere; no part of the round's time. */
export function aheadMs({ round_usage, hidden_draft_ms }: Metrics): number {
  const elsewhere = round_usage !== null;
  return elsewhere && hidden_draft_ms >= LEAST_AHEAD_MS ? hidden_draft_ms : 0;
}
