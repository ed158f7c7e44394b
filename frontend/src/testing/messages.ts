// Messages for tests.
import type {
  Done,
  DraftToken,
  Failure,
  Metrics,
  MetricValues,
  RunWarning,
  ServerMessage,
  Started,
  Updated,
  VerifyResult,
} from "../protocol/generated";

const model = {
  name: "target",
  runtime: "toy",
  quantisation: "F32",
  parameters: null,
  size_bytes: null,
  context_tokens: 64,
  vocabulary: 5,
  fingerprint: "f",
  computes_on: "nothing",
  choice: null,
};
const exactness = { label: "exact", reason: "" } as const;
const frame = { run: "r", seq: 0, t_ms: 0 };

export const started = (changes: Partial<Started> = {}): Started => ({
  ...frame,
  type: "started",
  prompt: "p",
  prompt_tokens: 1,
  target_model: model,
  draft_model: null,
  drafter: "model",
  k: 3,
  policy: "fixed",
  rule: "token",
  nodes: 0,
  sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, penalties: null },
  grammar: null,
  max_tokens: 64,
  seed: 0,
  exactness,
  noise_floor: null,
  heads: [],
  batch_invariant: false,
  pass_times: [],
  record: null,
  prompt_digest: null,
  watched: null,
  baseline: null,
  remote: null,
  per_call_baseline: null,
  translated: false,
  ...changes,
});

export const updated = (changes: Partial<Updated>): Updated => ({
  ...frame,
  type: "updated",
  round: 0,
  k: 3,
  nodes: 0,
  drafter: "model",
  sampling: { temperature: 0, top_k: 0, top_p: 1, min_p: 0, penalties: null },
  exactness,
  remote: null,
  ...changes,
});

export const draft = (round: number, node: number, token: string): DraftToken => ({
  ...frame,
  type: "draft_token",
  round,
  node,
  parent: node === 0 ? null : node - 1,
  position: node,
  token,
  token_id: node,
  logprob: -0.5,
  entropy: 1,
  draft_prob: 0.6,
  top_tokens: [],
  draft_time_ms: 5,
  source: "model",
  covered_mass: null,
});

type Tested = Pick<VerifyResult, "round" | "node" | "position" | "status" | "text">;

export const verdict = (tested: Tested, changes: Partial<VerifyResult> = {}): VerifyResult => ({
  ...frame,
  type: "verify_result",
  draft_token: null,
  final_token: tested.text,
  token_id: 9,
  draft_logprob: null,
  target_logprob: null,
  draft_prob: null,
  target_prob: null,
  acceptance_prob: null,
  uniform: null,
  entropy: null,
  target_top_tokens: [],
  residual_top_tokens: [],
  compared: [],
  overlap: null,
  verify_latency_ms: 20,
  ...tested,
  ...changes,
});

const values = { tokens: 0, rounds: 0 } as MetricValues;

export const metrics = (round: number, drafted: number, changes: Partial<Metrics> = {}): Metrics => ({
  ...values,
  ...frame,
  type: "metrics",
  round,
  k: 3,
  drafter: "model",
  round_drafted: drafted,
  round_accepted: 0,
  round_emitted: 1,
  draft_ms: 15,
  verify_ms: 20,
  network_ms: 0,
  evidence_ms: 0,
  other_ms: 0,
  round_ms: 35,
  hidden_draft_ms: 0,
  plan: null,
  runs: 1,
  pass_rows: null,
  prompt_cache: null,
  prefill_ms: 0,
  draft_prefill_ms: 0,
  sampling_ms: 0,
  cache_ms: 0,
  exactness: "exact",
  round_total_variation_bound: 0,
  round_usage: null,
  ...changes,
});

export const done = (changes: Partial<Done> = {}): Done => ({
  ...frame,
  type: "done",
  total_tokens: 0,
  total_accepted: 0,
  total_drafted: 0,
  total_rounds: 0,
  generated_text: "",
  text_tail: "",
  token_ids: [],
  finish_reason: "stop",
  metrics: values,
  departure: null,
  autopsy: null,
  ...changes,
});

export const failure = (changes: Partial<Failure> = {}): Failure => ({
  ...frame,
  type: "error",
  code: "model",
  message: "It broke.",
  hint: "Mend it.",
  round: null,
  ...changes,
});

export const warning = (changes: Partial<RunWarning> = {}): RunWarning => ({
  ...frame,
  type: "warning",
  round: 0,
  message: "The drafter failed.",
  hint: "Choose another drafter.",
  ...changes,
});

/** A round of drafted words, the first `accepted` of which are accepted; then one extra token. */
export function roundOf(
  round: number,
  words: readonly string[],
  accepted: number,
  extra: string,
): ServerMessage[] {
  const status = words.length === 0 ? "plain" : accepted < words.length ? "resampled" : "bonus";
  const statusOf = (node: number) =>
    node < accepted ? "accepted" : node === accepted ? "rejected" : "discarded";
  return [
    ...words.map((word, node) => draft(round, node, word)),
    ...words.map((word, node) =>
      verdict({ round, node, position: node, status: statusOf(node), text: node < accepted ? word : "" }),
    ),
    verdict({ round, node: null, position: accepted, status, text: extra }),
    metrics(round, words.length),
  ];
}

export interface Branch {
  readonly word: string;
  readonly parent: number | null;
  readonly status: "accepted" | "rejected" | "discarded";
  readonly source?: string;
}

/** A round whose draft is a tree, with its verdicts in the server's order; then one extra token. */
export function treeOf(
  round: number,
  branches: readonly Branch[],
  extra: string,
  changes: Partial<VerifyResult> = {},
): ServerMessage[] {
  const depths: number[] = [];
  for (const { parent } of branches) depths.push(parent === null ? 0 : (depths[parent] ?? 0) + 1);
  const position = (node: number) => depths[node] ?? 0;
  const ids = new Map(branches.map(({ word }) => [word, branches.findIndex((other) => other.word === word)]));
  const order = ["accepted", "rejected", "discarded"].flatMap((status) =>
    branches.map((branch, node) => ({ ...branch, node })).filter((branch) => branch.status === status),
  );
  const last = branches.findLastIndex(({ status }) => status === "accepted");
  const ends = !branches.some(({ parent }) => parent === (last < 0 ? null : last));
  return [
    ...branches.map(({ word, parent, source = "model" }, node) => ({
      ...draft(round, node, word),
      parent,
      position: position(node),
      token_id: ids.get(word) ?? node,
      source,
    })),
    ...order.map(({ word, status, node }) =>
      verdict(
        { round, node, position: position(node), status, text: status === "accepted" ? word : "" },
        { token_id: ids.get(word) ?? node, ...(status === "discarded" ? {} : changes) },
      ),
    ),
    verdict({
      round,
      node: null,
      position: last < 0 ? 0 : position(last) + 1,
      status: ends ? "bonus" : "resampled",
      text: extra,
    }),
    metrics(round, branches.length),
  ];
}

/** The same messages, numbered and `stepMs` apart. */
export const timed = (events: readonly ServerMessage[], stepMs = 10): ServerMessage[] =>
  events.map((event, seq) => ({ ...event, seq, t_ms: seq * stepMs }));
