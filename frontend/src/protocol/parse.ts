// JSON text to a server message. Unknown types are ignored, so that a newer server can send more than this page knows.
// So is `record`, which is for what-if questions and larger than all the rest.
import type {
  Done,
  Metrics,
  MetricValues,
  NoiseFloor,
  ServerMessage,
  Started,
  TrafficNews,
  Updated,
  VerifyResult,
} from "./generated";

const TYPES: ReadonlySet<string> = new Set<ServerMessage["type"]>([
  "queued",
  "loading",
  "started",
  "updated",
  "draft_token",
  "warning",
  "verify_result",
  "metrics",
  "shadow",
  "done",
  "error",
]);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A message of a known type with its envelope, or null. */
export const parseMessage = (text: string): ServerMessage | null => messageOf(parsed(text));

/** A message of a run, or news of the traffic; null for anything else. */
export function parseFrame(text: string): ServerMessage | TrafficNews | null {
  const value = parsed(text);
  const isNews = isRecord(value) && value.type === "traffic" && Array.isArray(value.runs);
  return isNews ? (value as unknown as TrafficNews) : messageOf(value);
}

function messageOf(value: unknown): ServerMessage | null {
  if (!isRecord(value) || typeof value.type !== "string" || !TYPES.has(value.type)) return null;
  if (typeof value.seq !== "number" || typeof value.t_ms !== "number") return null;
  return completed(value as unknown as ServerMessage);
}

// Fields that older traces do not have: unknown there, or with the value that they always had.
const STARTED_SINCE = {
  remote: null,
  per_call_baseline: null,
  translated: false,
  nodes: 0,
  policy: "fixed",
  heads: [],
  batch_invariant: false,
  pass_times: [],
  record: null,
  watched: null,
} satisfies Partial<Started>;
const FLOOR_SINCE = { context_tokens: 0, rows: 0, proven: false } satisfies Partial<NoiseFloor>;
const DONE_SINCE = { departure: null, autopsy: null } satisfies Partial<Done>;
const VERDICT_SINCE = { compared: [], overlap: null } satisfies Partial<VerifyResult>;
const UPDATED_SINCE = { nodes: 0 } satisfies Partial<Updated>;
const VALUES_SINCE = {
  per_call_tps: null,
  per_call_speedup: null,
  avg_hidden_draft_ms: null,
  kept_mass: null,
  total_variation_bound: 0,
  usage: null,
} satisfies Partial<MetricValues>;
const METRICS_SINCE = {
  ...VALUES_SINCE,
  exactness: "exact",
  round_total_variation_bound: 0,
  round_usage: null,
  plan: null,
  sampling_ms: 0,
  cache_ms: 0,
} satisfies Partial<Metrics>;

/** Version 1 of the protocol had the run's figures under `metrics`; `usage` and the bound next to it were the round's. */
function flattened(message: Metrics): Metrics {
  const { metrics, usage, total_variation_bound, ...own } = message as Metrics & { metrics?: MetricValues };
  if (!metrics) return message;
  const round = { round_usage: usage ?? null, round_total_variation_bound: total_variation_bound ?? 0 };
  return { ...own, ...round, ...metrics };
}

const floorOf = ({ noise_floor }: Started): NoiseFloor | null =>
  noise_floor ? { ...FLOOR_SINCE, ...noise_floor } : null;

function completed(message: ServerMessage): ServerMessage {
  switch (message.type) {
    case "started":
      return { ...STARTED_SINCE, ...message, noise_floor: floorOf(message) };
    case "updated":
      return { ...UPDATED_SINCE, ...message };
    case "verify_result":
      return { ...VERDICT_SINCE, ...message };
    case "metrics":
      return { ...METRICS_SINCE, ...flattened(message) };
    case "done":
      return { ...DONE_SINCE, ...message, metrics: { ...VALUES_SINCE, ...message.metrics } };
    default:
      return message;
  }
}
