// The list of requests to the API, as the server's news change it.
import type { TrafficNews, TrafficRun } from "../protocol/generated";

/** As many as the server lists. */
export const MOST_LISTED = 200;

const isOver = ({ state }: TrafficRun): boolean =>
  state !== "queued" && state !== "prefill" && state !== "decoding";

/** The newest run first. Of too many the oldest that are over are left out. */
export function afterNews(runs: readonly TrafficRun[], { whole, runs: told }: TrafficNews): TrafficRun[] {
  const known = new Map((whole ? [] : runs).map((run) => [run.run, run]));
  for (const run of told) known.set(run.run, run);
  const sorted = [...known.values()].sort((a, b) => b.created_ms - a.created_ms || (a.run < b.run ? 1 : -1));
  let left = sorted.length - MOST_LISTED;
  if (left <= 0) return sorted;
  const kept: TrafficRun[] = [];
  for (const run of sorted.reverse()) {
    if (left > 0 && isOver(run)) left -= 1;
    else kept.push(run);
  }
  return kept.reverse();
}
