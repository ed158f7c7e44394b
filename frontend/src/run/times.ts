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

/** Shorter times are shown as 0: they only find that there is nothing to draft ahead. */
const LEAST_AHEAD_MS = 0.05;

/** Time of drafting ahead while a remote target verified this round. It is not part of the round's time. */
export function aheadMs({ round_usage, hidden_draft_ms }: Metrics): number {
  const isRemote = round_usage !== null;
  return isRemote && hidden_draft_ms >= LEAST_AHEAD_MS ? hidden_draft_ms : 0;
}
