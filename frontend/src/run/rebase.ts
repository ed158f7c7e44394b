// A finished run against a baseline that was measured after it: the plain run of the same prompt.
import type { Baseline, Done, MetricValues, ServerMessage, Started } from "../protocol/generated";
import type { Run } from "./model";
import type { Playback } from "./playback";
import { openLive, openRecording, receive, showEvents } from "./playback";

/** A shorter run is no baseline, for the server either. */
const LEAST_TOKENS = 16;

/** The baseline that a whole plain run gives; null if it did not come to an end, is too short, or was not alone. */
export function baselineFrom(plain: Run): Baseline | null {
  const { started, done } = plain;
  const tps = done?.metrics.overall_tps ?? null;
  const ended = done && done.finish_reason !== "cancelled" && done.finish_reason !== "error";
  if (!started || !ended || tps === null || done.total_tokens < LEAST_TOKENS) return null;
  if (done.metrics.shared_rounds > 0) return null;
  return {
    tps,
    tokens: done.total_tokens,
    context_tokens: started.prompt_tokens,
    age_s: 0,
    kind: "plain_run",
  };
}

const ratio = (tps: number | null, baseline: Baseline): number | null =>
  tps === null ? null : tps / baseline.tps;

/** A plain run of a remote target has one call per token. */
function rebasedValues<T extends MetricValues>(values: T, baseline: Baseline, remote: boolean): T {
  if (remote) {
    return { ...values, per_call_tps: baseline.tps, per_call_speedup: ratio(values.effective_tps, baseline) };
  }
  const speedup = ratio(values.effective_tps, baseline);
  return {
    ...values,
    baseline_tps: baseline.tps,
    speedup,
    overall_speedup: ratio(values.overall_tps, baseline),
  };
}

const rebasedStart = (started: Started, baseline: Baseline): Started =>
  started.remote
    ? { ...started, per_call_baseline: { ...baseline, kind: "per_call" } }
    : { ...started, baseline };

function rebasedEnd(done: Done, baseline: Baseline, remote: boolean, plain: Run): Done {
  const departure = done.departure ?? plain.done?.departure ?? null;
  return { ...done, departure, metrics: rebasedValues(done.metrics, baseline, remote) };
}

/** The same run at the same place, with figures relative to the plain run. Null if that gives no baseline. */
export function rebase(play: Playback, plain: Run): Playback | null {
  const baseline = baselineFrom(plain);
  if (!baseline) return null;
  const remote = play.full.started?.remote != null;
  const events = play.events.toArray().map((event): ServerMessage => {
    if (event.type === "started") return rebasedStart(event, baseline);
    if (event.type === "metrics") return rebasedValues(event, baseline, remote);
    return event.type === "done" ? rebasedEnd(event, baseline, remote, plain) : event;
  });
  const fresh =
    play.source === "live" ? receive(openLive(play.mode), events) : openRecording(events, play.mode);
  const { playing, following, waitMs, clockMs } = play;
  return { ...showEvents(fresh, play.cursor), playing, following, waitMs, clockMs };
}
