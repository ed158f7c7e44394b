// Requests to the API for tests of the place Traffic.
import type { RefusedRequests, RunSummary, TrafficNews, TrafficRun } from "../protocol/generated";

export const trafficSummary = (changes: Partial<RunSummary> = {}): RunSummary => ({
  target: "qwen",
  draft: "small",
  drafter: "model",
  policy: "fixed",
  k: 4,
  nodes: 0,
  rule: "token",
  sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, penalties: null },
  max_tokens: 64,
  seed: 1,
  exactness: "exact",
  prompt_tokens: 12,
  tokens: 30,
  rounds: 10,
  accepted: 20,
  drafted: 40,
  acceptance_rate: 0.5,
  tokens_per_round: 3,
  tps: 21.5,
  baseline_tps: null,
  speedup: null,
  unlike: null,
  ttft_ms: 100,
  ended: null,
  failure: null,
  sweep: null,
  watched: null,
  ...changes,
});

export const trafficRun = (run: string, changes: Partial<TrafficRun> = {}): TrafficRun => ({
  run,
  created_ms: 1,
  route: "/v1/chat/completions",
  key: null,
  prompt_tokens: 12,
  prompt: null,
  state: "decoding",
  place: null,
  queue_ms: 50,
  most_runs: 1,
  shared_rounds: 0,
  summary: trafficSummary(),
  failure: null,
  kept: true,
  ...changes,
});

export const refusedRequests = (changes: Partial<RefusedRequests> = {}): RefusedRequests => ({
  count: 3,
  first_ms: 1,
  last_ms: 2,
  status: 401,
  code: "invalid_api_key",
  reason: "Its key is missing or wrong.",
  route: "/v1/chat/completions",
  client: "curl",
  key: null,
  ...changes,
});

export const trafficNews = (
  runs: TrafficRun[],
  whole = false,
  refused: RefusedRequests[] | null = null,
): TrafficNews => ({
  run: null,
  seq: 0,
  t_ms: 0,
  type: "traffic",
  whole,
  runs,
  refused,
});
