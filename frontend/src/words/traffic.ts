// Requests to the API in words.
import type { RefusedRequests, TrafficRun } from "../protocol/generated";
import { fixed, milliseconds, percent, plural, whole } from "./format";
import { draftWords } from "./runs";

export const TRAFFIC_LEAD =
  "Requests to the OpenAI-compatible API of this server, and those that `speculatoviz watch` records into the same store, as they come. Each is kept as a run that can be opened.";

export const TRAFFIC_EMPTY =
  "No request has come since the server started. Point a client of the OpenAI API at this address, followed by `/v1`.";

export const TRAFFIC_ALL_REFUSED = "No request has become a run since the server started.";

export const REFUSED_LEAD =
  "Requests that were answered with an error before a run began. One row counts all that are alike. No prompt, no key and no address is kept of them.";

/** What the requests of a group have in common. */
export const refusedId = ({ status, code, reason, route, client, key }: RefusedRequests): string =>
  JSON.stringify([status, code, reason, route, client, key]);

type State = TrafficRun["state"];

const STATES: Readonly<Record<State, string>> = {
  queued: "queued",
  prefill: "prefill",
  decoding: "decoding",
  done: "done",
  cancelled: "cancelled",
  failed: "failed",
  unknown: "no news",
};

const STATE_HELPS: Readonly<Record<State, string>> = {
  queued: "It waits for the models.",
  prefill: "The models read the prompt.",
  decoding: "Tokens come.",
  done: "It has ended.",
  cancelled: "The client left, or the server stopped.",
  failed: "It ended with an error.",
  unknown: "Nothing came for two minutes. The program that watched it may have ended.",
};

export const stateWords = ({ state, place }: TrafficRun): string =>
  state === "queued" && place !== null ? `queued, place ${place}` : STATES[state];

export const stateHelp = ({ state, failure }: TrafficRun): string => failure ?? STATE_HELPS[state];

/** The beginning of the prompt if it is shown, else the run's id. */
export const requestTitle = ({ prompt, run }: TrafficRun): string =>
  prompt === null ? run : prompt.replace(/\s+/g, " ").trim() || "an empty prompt";

/** Where a watched run was computed; null for a run of this server. */
export function watchedWords({ summary }: TrafficRun): string | null {
  const watched = summary?.watched;
  if (!watched) return null;
  return `watched, ${watched.engine === null ? "" : `${watched.engine} `}at ${watched.server}`;
}

/** From the request to the first token, its wait for the models included. */
export const firstTokenMs = ({ queue_ms, summary }: TrafficRun): number | null => {
  const first = summary?.ttft_ms ?? null;
  return first === null ? null : (queue_ms ?? 0) + first;
};

/** "up to 3 runs, 12 of 40 rounds"; of a watched run nothing is known. */
export function sharedWords({ most_runs, shared_rounds, summary }: TrafficRun): string {
  if (summary?.watched || summary === null) return fixed(null);
  if (most_runs <= 1) return "alone";
  return `up to ${most_runs} runs, ${shared_rounds} of ${plural(summary.rounds, "round")}`;
}

/** Drafter, depth and policy; of a watched run what its server does is not known. */
export function speculationWords({ summary }: TrafficRun): string {
  if (summary === null) return fixed(null);
  if (summary.watched) return summary.drafted > 0 ? "the server's own" : "not reported";
  return `${draftWords(summary)}, ${summary.policy}`;
}

export interface Cell {
  readonly label: string;
  readonly value: string;
}

/** The figures of a run, in the order of the columns. */
export function figuresOf(run: TrafficRun): Cell[] {
  const { summary } = run;
  return [
    { label: "prompt", value: whole(run.prompt_tokens || null) },
    { label: "tokens", value: whole(summary?.tokens) },
    { label: "tokens/round", value: fixed(summary?.tokens_per_round) },
    { label: "accepted", value: percent(summary?.acceptance_rate) },
    { label: "first token", value: milliseconds(firstTokenMs(run)) },
    { label: "tokens/s", value: fixed(summary?.tps, 1) },
  ];
}

/** How many requests there are in which state. */
export function countWords(runs: readonly TrafficRun[]): string {
  const states: readonly State[] = ["decoding", "prefill", "queued"];
  const counts = states.map((state) => [state, runs.filter((run) => run.state === state).length] as const);
  const going = counts.filter(([, count]) => count > 0).map(([state, count]) => `${count} ${STATES[state]}`);
  return `${plural(runs.length, "request")}${going.length > 0 ? `: ${going.join(", ")}` : ", none goes on"}.`;
}
