// Runs for tests of the tree and the charts.
import type {
  DraftToken,
  Metrics,
  MetricValues,
  PlanInfo,
  RemoteInfo,
  Started,
  UsageInfo,
  VerifyResult,
} from "../protocol/generated";
import type { Round, Run, Status, Token } from "../run/model";

const frame = { run: "r", seq: 0, t_ms: 0 };
const KINDS = { accepted: "a", rejected: "r", discarded: "d", pending: "?" } as const;

/** One drafted node: its parent and its status. */
export interface Node {
  readonly parent: number | null;
  readonly status: keyof typeof KINDS;
}

export interface RoundShape {
  readonly nodes: readonly Node[];
  readonly extra: "resampled" | "bonus" | "plain" | null;
  /** Whether the round has its metrics. */
  readonly over?: boolean;
}

/** `"aard+"`: a chain of accepted, accepted, rejected, discarded; `+` resampled, `*` bonus, `=` plain, `?` pending. */
export function chain(spec: string, over = true): RoundShape {
  const extras = { "+": "resampled", "*": "bonus", "=": "plain" } as const;
  const nodes: Node[] = [];
  let extra: RoundShape["extra"] = null;
  for (const sign of spec) {
    const status = (Object.keys(KINDS) as (keyof typeof KINDS)[]).find((kind) => KINDS[kind] === sign);
    if (status) nodes.push({ parent: nodes.length === 0 ? null : nodes.length - 1, status });
    else extra = extras[sign as keyof typeof extras];
  }
  return { nodes, extra, over };
}

export type Labels = (round: number, position: number) => string;

export function roundOf(index: number, shape: RoundShape, labels: Labels = () => " token"): Round {
  const positions: number[] = [];
  for (const node of shape.nodes)
    positions.push(node.parent === null ? 0 : (positions[node.parent] ?? 0) + 1);
  const drafted = shape.nodes.map((node, i): Token => {
    const position = positions[i] ?? 0;
    const label = labels(index, position) + (node.status === "accepted" ? "" : "'");
    return tokenOf(index, i, node.parent, position, label, node.status);
  });
  const accepted = drafted.filter((token) => token.status === "accepted");
  const emitted = [...accepted];
  if (shape.extra) {
    const position = accepted.length;
    emitted.push(
      tokenOf(index, null, accepted.at(-1)?.node ?? null, position, labels(index, position), shape.extra),
    );
  }
  const metrics =
    shape.over === false ? null : metricsOf(index, drafted.length, accepted.length, emitted.length);
  return { index, drafted, emitted, metrics };
}

function tokenOf(
  round: number,
  node: number | null,
  parent: number | null,
  position: number,
  label: string,
  status: Status,
): Token {
  const wobble = ((round * 7 + position * 13) % 10) / 10;
  const probability = status === "accepted" ? 0.5 + wobble / 2 : wobble / 2;
  const base = { ...frame, round, position, token_id: round * 100 + position, entropy: wobble * 4 };
  const draft: DraftToken | null =
    node === null
      ? null
      : {
          ...base,
          type: "draft_token",
          node,
          parent,
          token: label,
          logprob: -0.5,
          draft_prob: 0.6,
          top_tokens: [],
          draft_time_ms: 9,
          source: "model",
          covered_mass: null,
        };
  const verdict: VerifyResult | null =
    status === "pending"
      ? null
      : {
          ...base,
          type: "verify_result",
          node,
          status,
          draft_token: node === null ? null : label,
          final_token: node === null || status === "accepted" ? label : null,
          text: label,
          draft_logprob: node === null ? null : -0.5,
          target_logprob: -0.7,
          draft_prob: node === null ? null : 0.6,
          target_prob: 0.5,
          acceptance_prob: status === "accepted" || status === "rejected" ? probability : null,
          uniform: status === "accepted" || status === "rejected" ? 0.42 : null,
          target_top_tokens: [],
          residual_top_tokens: [],
          compared: [],
          overlap: null,
          verify_latency_ms: 200,
        };
  const text = status === "rejected" || status === "discarded" || status === "pending" ? "" : label;
  const key = `${round}:${node ?? "+"}`;
  const tokenId = base.token_id;
  return {
    key,
    round,
    node,
    parent,
    position,
    tokenId,
    label,
    status,
    text,
    rule: "token",
    greedy: false,
    compared: false,
    draft,
    verdict,
  };
}

export function metricsOf(round: number, drafted: number, accepted: number, emitted: number): Metrics {
  const draft_ms = 9 * drafted;
  const verify_ms = 60 + 38 * drafted + ((round * 17) % 23);
  const rest = { network_ms: 0, evidence_ms: drafted > 0 ? 6 : 0, other_ms: 2 };
  const round_ms = draft_ms + verify_ms + rest.evidence_ms + rest.other_ms;
  const counts = { round_drafted: drafted, round_accepted: accepted, round_emitted: emitted };
  return {
    ...VALUES,
    ...frame,
    t_ms: round * 250,
    type: "metrics",
    round,
    k: drafted,
    drafter: "model",
    ...counts,
    draft_ms,
    sampling_ms: 0,
    cache_ms: 0,
    verify_ms,
    ...rest,
    round_ms,
    hidden_draft_ms: 0,
    prefill_ms: 0,
    draft_prefill_ms: 0,
    exactness: "exact",
    round_total_variation_bound: 0,
    round_usage: null,
    plan: null,
    runs: 1,
    pass_rows: null,
    prompt_cache: null,
  };
}

/** A plan of the policy `auto`: a draft of three tokens, with the draft model and not with the suffix automaton. */
export const PLAN: PlanInfo = {
  chosen: { drafter: "model", depth: 3, expected_tokens: 2.6, expected_ms: 38, siblings: 0 },
  others: [
    { drafter: "suffix", depth: 1, expected_tokens: 1.1, expected_ms: 24, siblings: 0 },
    { drafter: "model", depth: 0, expected_tokens: 1, expected_ms: 20, siblings: 0 },
  ],
  plain_ms: 20,
  explored: false,
};

export const VALUES: MetricValues = {
  window_rounds: 50,
  acceptance_rate: null,
  mean_acceptance_length: null,
  tokens_per_round: null,
  per_position_acceptance_rate: [],
  conditional_acceptance_rate: [],
  effective_tps: null,
  baseline_tps: null,
  speedup: null,
  ttft_ms: null,
  avg_draft_latency_ms: null,
  avg_verify_latency_ms: null,
  avg_network_ms: null,
  tokens: 0,
  rounds: 0,
  accepted: 0,
  drafted: 0,
  bonus: 0,
  resampled: 0,
  plain: 0,
  overall_acceptance_rate: null,
  overall_mean_acceptance_length: null,
  overall_tps: null,
  overall_speedup: null,
  per_call_tps: null,
  per_call_speedup: null,
  avg_hidden_draft_ms: null,
  kept_mass: null,
  total_variation_bound: 0,
  usage: null,
  shared_rounds: 0,
};

export const IDLE: Run = {
  id: null,
  phase: "idle",
  queued: null,
  loading: null,
  started: null,
  rounds: [],
  updates: [],
  sources: [],
  latest: null,
  weakest: null,
  shadow: null,
  warnings: [],
  done: null,
  failure: null,
};

export const STARTED: Started = {
  ...frame,
  type: "started",
  prompt: "p",
  prompt_tokens: 12,
  target_model: {
    name: "target",
    runtime: "toy",
    quantisation: "F32",
    parameters: null,
    size_bytes: null,
    context_tokens: 2048,
    vocabulary: 5,
    fingerprint: "f",
    computes_on: "cpu",
    choice: null,
  },
  draft_model: null,
  drafter: "model",
  k: 4,
  policy: "fixed",
  rule: "token",
  nodes: 0,
  sampling: { temperature: 0.7, top_k: 0, top_p: 1, min_p: 0, penalties: null },
  grammar: null,
  max_tokens: 256,
  seed: 1,
  exactness: { label: "exact", reason: "" },
  noise_floor: null,
  heads: [],
  batch_invariant: false,
  pass_times: [],
  record: null,
  prompt_digest: "d",
  watched: null,
  baseline: { tps: 13.2, tokens: 16, context_tokens: 60, age_s: 40, kind: "startup" },
  remote: null,
  per_call_baseline: null,
  translated: false,
};

export const REMOTE: RemoteInfo = {
  url: "wss://verify.example.org:8443/rounds",
  mode: "verifier",
  rtt_ms: 41.6,
  calls_per_round: 1,
  findings: [
    { question: "protocol version", answer: "3" },
    { question: "context", answer: "2048 tokens" },
  ],
  rate_limit: null,
  warning: null,
};

/** The usage of three rounds with a remote target. */
export const USAGE: UsageInfo = {
  calls: 6,
  prompt_tokens: 12_480,
  completion_tokens: 21,
  cached_tokens: 3120,
  sent_bytes: 3 * 2970,
  received_bytes: 3 * 1126,
};

/** A run with a remote target, whose two baselines differ clearly. */
export const STARTED_REMOTE: Started = {
  ...STARTED,
  remote: REMOTE,
  baseline: { tps: 12.5, tokens: 16, context_tokens: 60, age_s: 40, kind: "streaming" },
  per_call_baseline: { tps: 7.75, tokens: 151, context_tokens: 60, age_s: 300, kind: "per_call" },
};
