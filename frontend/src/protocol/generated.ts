// Generated from the server's messages by `npm run protocol`; do not edit.

export type ClientMessage = Start | Update | Cancel | Follow;
export type ServerMessage =
  | Queued
  | Loading
  | Started
  | Updated
  | DraftToken
  | RunWarning
  | VerifyResult
  | Metrics
  | Shadow
  | Record
  | Done
  | Failure;
export type ClassroomMessage = Join | Present | Prepare | Bet | Reveal | Next | Close;
export type ClassroomEvent = ClassroomView | Welcome | Refused;

export interface Protocol {
  ClientMessage: ClientMessage;
  ServerMessage: ServerMessage;
  TrafficNews: TrafficNews;
  Health: Health;
  SettingsInfo: SettingsInfo;
  TestDraft: TestDraft;
  AloneRequest: AloneRequest;
  AloneText: AloneText;
  ClassroomMessage: ClassroomMessage;
  ClassroomEvent: ClassroomEvent;
  RunPage: RunPage;
  AcceptanceAnatomy: AcceptanceAnatomy;
  StoredRunDetail: StoredRunDetail;
  RunChange: RunChange;
  StatisticsFound: StatisticsFound;
  WhatIfQuestion: WhatIfQuestion;
  WhatIfAnswer: WhatIfAnswer;
}
/**
 * Begin a run. Either `prompt` (one user turn) or `messages` (a whole conversation).
 */
export interface Start {
  type?: "start";
  prompt?: string | null;
  messages?: ChatMessage[] | null;
  /**
   * feed `prompt` as it is, without the chat template
   */
  raw?: boolean;
  /**
   * names of control tokens in a raw prompt become these tokens
   */
  control_tokens?: boolean;
  max_tokens?: number | null;
  temperature?: number | null;
  k?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  repetition_penalty?: number | null;
  /**
   * repetition_penalty counts only the last tokens, so many; null: all of prompt and output
   */
  repeat_last_n?: number | null;
  /**
   * added to the logits of token ids
   */
  logit_bias?: {
    [k: string]: number;
  } | null;
  seed?: number | null;
  /**
   * text that the output may repeat in part; `suffix` reads it, and drafts if none is named
   */
  prediction?: string | null;
  /**
   * @maxItems 16
   */
  stop?: string[];
  ignore_eos?: boolean;
  /**
   * what the output has to be; p is masked by it
   */
  grammar?: GrammarInfo | null;
  /**
   * one of `race_targets` of the settings, over the socket; null: the server's own target
   */
  target?: string | null;
  drafter?: string | null;
  /**
   * null: the server's own; if it has none, fixed if k or nodes are given, else auto
   */
  policy?: ("auto" | "adaptive" | "fixed") | null;
  rule?: ("token" | "block" | "match" | "typical") | null;
  nodes?: number | null;
  /**
   * drafters that guess beside the one in use, unused and untimed
   *
   * @maxItems 8
   */
  shadow?: string[];
  /**
   * compute entropies and alternatives for display
   */
  evidence?: boolean;
  /**
   * record the drafter's proposals after every output token, to this depth; null: the server's
   */
  record_depth?: number | null;
}
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}
/**
 * A grammar that the output follows. `text`: a JSON schema, a regular expression, a Lark or a GBNF grammar.
 */
export interface GrammarInfo {
  kind: "json_schema" | "regex" | "lark" | "gbnf";
  text: string;
}
/**
 * Change a run; takes effect between rounds.
 */
export interface Update {
  type: "update";
  k?: number | null;
  temperature?: number | null;
  drafter?: string | null;
  nodes?: number | null;
}
export interface Cancel {
  type: "cancel";
}
/**
 * Follow the requests to the API: `traffic` events come, first with all runs that are listed.
 */
export interface Follow {
  type: "follow";
  /**
   * false: send no more
   */
  on?: boolean;
  /**
   * with the first characters of each prompt
   */
  prompts?: boolean;
}
/**
 * Another run holds the model; `place` 1 is next.
 */
export interface Queued {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "queued";
  place: number;
}
/**
 * Another target than the server's own is being loaded for the run: no part of any timing.
 *
 * `progress` is the share of the stage that is done, 0 to 1; null while it is unknown. The last stage is "loaded".
 */
export interface Loading {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "loading";
  target: string;
  stage: string;
  progress: number | null;
  elapsed_s: number;
}
export interface Started {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "started";
  prompt: string;
  prompt_tokens: number;
  target_model: ModelInfo;
  draft_model: ModelInfo | null;
  drafter: string;
  k: number;
  policy: string;
  rule: "token" | "block" | "match" | "typical";
  /**
   * most tokens of a draft; up to k it is a chain
   */
  nodes: number;
  sampling: SamplingInfo;
  /**
   * what the output has to be; null: anything
   */
  grammar: GrammarInfo | null;
  max_tokens: number;
  seed: number;
  exactness: ExactnessInfo;
  noise_floor: NoiseFloor | null;
  baseline: Baseline | null;
  /**
   * null for a target in the server's own process
   */
  remote: RemoteInfo | null;
  /**
   * a remote target, one call per token
   */
  per_call_baseline: Baseline | null;
  /**
   * the draft model has another vocabulary than the target
   */
  translated: boolean;
  /**
   * of the drafters that have a head with a card
   */
  heads: HeadInfo[];
  /**
   * greedy text is that of plain decoding, bit for bit
   */
  batch_invariant: boolean;
  /**
   * of the target, as measured when the run began
   */
  pass_times: PassTime[];
  /**
   * what `record` events will hold; null if nothing is recorded
   */
  record: RecordInfo | null;
  /**
   * SHA-256 of the prompt's token ids as little-endian int32; null in older traces
   */
  prompt_digest: string | null;
  /**
   * a run of another server, recorded as it passed; else null
   */
  watched: WatchedInfo | null;
}
/**
 * A model. `choice`: of its runtime; null if the model's name or a setting decided.
 */
export interface ModelInfo {
  name: string;
  runtime: string;
  quantisation: string;
  parameters: number | null;
  size_bytes: number | null;
  context_tokens: number;
  vocabulary: number;
  fingerprint: string;
  computes_on: string;
  choice: RuntimeChoiceInfo | null;
}
/**
 * Why a model is on its runtime, as a clause, and the times that were compared; none if nothing was measured.
 */
export interface RuntimeChoiceInfo {
  reason: string;
  times: RowTime[];
}
/**
 * The time of a pass over `rows` tokens of a model on a runtime, as it was measured to choose one.
 */
export interface RowTime {
  runtime: string;
  rows: number;
  ms: number;
}
/**
 * `penalties`: null if none is on.
 */
export interface SamplingInfo {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  penalties: PenaltiesInfo | null;
}
/**
 * What changes logits before temperature and filters; `core.types.Penalties` defines the fields.
 *
 * `last_n`: null for all tokens. `bias`: pairs of a token id and what is added to its logit.
 */
export interface PenaltiesInfo {
  presence: number;
  frequency: number;
  repetition: number;
  last_n: number | null;
  bias: unknown[][];
}
export interface ExactnessInfo {
  label: "exact" | "exact-greedy" | "bounded" | "lossy" | "unverified";
  reason: string;
}
/**
 * Total variation between passes of one and of `rows` tokens of the target over the same tokens.
 *
 * Over `tokens` positions that end at a context of `context_tokens`; in longer contexts it can be larger. `proven`:
 * the target is batch-invariant, and all figures are 0: the logits of all shapes of a pass are equal bit by bit.
 */
export interface NoiseFloor {
  mean_total_variation: number;
  max_total_variation: number;
  argmax_agreement: number;
  tokens: number;
  context_tokens: number;
  rows: number;
  proven: boolean;
}
/**
 * Plain decoding of the same target by the same engine at depth 0: a run, never a formula.
 */
export interface Baseline {
  tps: number;
  tokens: number;
  context_tokens: number;
  age_s: number;
  kind: "startup" | "plain_run" | "streaming" | "per_call";
}
/**
 * What was found out about a remote target when it was connected to. `calls_per_round`: of a usual round.
 */
export interface RemoteInfo {
  url: string;
  mode: string;
  rtt_ms: number | null;
  calls_per_round: number | null;
  findings: Finding[];
  rate_limit: string | null;
  warning: string | null;
}
export interface Finding {
  question: string;
  answer: string;
}
/**
 * What the card of a draft head states. acceptance: by position, of the tokens that were tested on held-out text.
 *
 * depth: the number of positions that it was trained for.
 */
export interface HeadInfo {
  drafter: string;
  file: string;
  acceptance: number[];
  depth: number;
}
/**
 * Median time of one forward pass of the target over `tokens` tokens.
 */
export interface PassTime {
  tokens: number;
  ms: number;
}
/**
 * What is recorded after the run: proposals of `drafter` after every output token, `depth` tokens deep.
 *
 * by_prefix: q of a token depends on the tokens before it alone, so that q at a later place of a draft is q at the
 * first place of the draft from there.
 */
export interface RecordInfo {
  drafter: string;
  depth: number;
  by_prefix: boolean;
}
/**
 * Of a run that another server computed, and that `speculatoviz watch` recorded as it passed.
 *
 * `server`: its address without credentials. `engine`: what its answer shows it to be; null if nothing does. `status`:
 * of its answer. `streamed`: whether the answer came in pieces. Pieces of text and their times are measured. What was
 * drafted is known as sums of the whole answer at most, where the server reports them.
 */
export interface WatchedInfo {
  server: string;
  route: string;
  engine: string | null;
  status: number;
  streamed: boolean;
}
/**
 * An update took effect; `round` is the first round under it.
 */
export interface Updated {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "updated";
  round: number;
  k: number;
  nodes: number;
  drafter: string;
  sampling: SamplingInfo;
  exactness: ExactnessInfo;
  /**
   * null for a target in the server's own process
   */
  remote: RemoteInfo | null;
}
/**
 * One node of the draft tree. `parent` is null for a child of the last committed token.
 */
export interface DraftToken {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "draft_token";
  round: number;
  node: number;
  parent: number | null;
  position: number;
  token: string;
  token_id: number;
  logprob: number | null;
  entropy: number | null;
  draft_prob: number;
  top_tokens: TopToken[];
  draft_time_ms: number;
  source: string;
  /**
   * share of the draft's own distribution that q covers
   */
  covered_mass: number | null;
}
export interface TopToken {
  token: string;
  token_id: number;
  logprob: number;
}
/**
 * Something went wrong and the run goes on: what happened, and what to do about it.
 */
export interface RunWarning {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "warning";
  round: number;
  message: string;
  hint: string;
}
/**
 * One tested, discarded or emitted token. `node` is null for the token after the accepted path.
 *
 * `text` is what this token adds to the visible text: empty while a character or a possible stop string is
 * incomplete, and more than the token itself when it completes one. Joined, they are `generated_text`,
 * save for what only the end of the run decides (`Done.text_tail`).
 */
export interface VerifyResult {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "verify_result";
  round: number;
  node: number | null;
  position: number;
  status: "pending" | "accepted" | "rejected" | "resampled" | "bonus" | "discarded" | "plain" | "received";
  draft_token: string | null;
  final_token: string | null;
  token_id: number;
  text: string;
  draft_logprob: number | null;
  target_logprob: number | null;
  draft_prob: number | null;
  target_prob: number | null;
  acceptance_prob: number | null;
  uniform: number | null;
  entropy: number | null;
  target_top_tokens: TopToken[];
  residual_top_tokens: TopToken[];
  /**
   * the most probable tokens of p and q as the rule used them; empty if a target does not report them
   */
  compared: ComparedToken[];
  verify_latency_ms: number;
  /**
   * of a tested token, if the target returns distributions
   */
  overlap: OverlapInfo | null;
}
/**
 * p and q of one token as the rule used them: after temperature and filters. `draft_prob`: null without a q.
 */
export interface ComparedToken {
  token: string;
  token_id: number;
  target_prob: number;
  draft_prob: number | null;
}
/**
 * How target p and draft q overlap at a tested token; `core.rounds.Overlap` defines the fields.
 *
 * Probabilities. 1 - accepted / reach is the expected rejection; docs/autopsy.md splits it by cause.
 */
export interface OverlapInfo {
  reach: number;
  accepted: number;
  shared: number;
  uncovered: number;
  filtered: number;
}
/**
 * Sent after every round: the round's own times and counts, then the metrics of the run so far, all at one level.
 *
 * `round_total_variation_bound` and `round_usage` are the round's; the fields without `round_` are the run's.
 */
export interface Metrics {
  run: string | null;
  seq: number;
  t_ms: number;
  window_rounds: number;
  acceptance_rate: number | null;
  mean_acceptance_length: number | null;
  tokens_per_round: number | null;
  per_position_acceptance_rate: number[];
  conditional_acceptance_rate: (number | null)[];
  effective_tps: number | null;
  baseline_tps: number | null;
  speedup: number | null;
  ttft_ms: number | null;
  avg_draft_latency_ms: number | null;
  avg_verify_latency_ms: number | null;
  avg_network_ms: number | null;
  tokens: number;
  rounds: number;
  accepted: number;
  drafted: number;
  bonus: number;
  resampled: number;
  plain: number;
  overall_acceptance_rate: number | null;
  overall_mean_acceptance_length: number | null;
  overall_tps: number | null;
  overall_speedup: number | null;
  per_call_tps: number | null;
  per_call_speedup: number | null;
  avg_hidden_draft_ms: number | null;
  kept_mass: number | null;
  total_variation_bound: number;
  usage: UsageInfo | null;
  /**
   * rounds of the run in which other runs used the models too: their times are not those of one run
   */
  shared_rounds: number;
  type: "metrics";
  round: number;
  k: number;
  drafter: string;
  round_drafted: number;
  round_accepted: number;
  round_emitted: number;
  draft_ms: number;
  verify_ms: number;
  network_ms: number;
  evidence_ms: number;
  other_ms: number;
  round_ms: number;
  hidden_draft_ms: number;
  prefill_ms: number;
  /**
   * the drafter's part of prefill_ms; plain decoding has none
   */
  draft_prefill_ms: number;
  /**
   * the part of verify_ms for acceptance tests and draws; 0 if not known
   */
  sampling_ms: number;
  /**
   * the part of verify_ms for keeping the accepted path; 0 if not known
   */
  cache_ms: number;
  exactness: "exact" | "exact-greedy" | "bounded" | "lossy" | "unverified";
  round_total_variation_bound: number;
  round_usage: UsageInfo | null;
  /**
   * why the round was planned so; null for the policy `fixed`
   */
  plan: PlanInfo | null;
  /**
   * runs that used the models in this round, this one included
   */
  runs: number;
  /**
   * tokens of the target's pass, those of other runs included; null if no other run used it, and for a remote target, which does not report them
   */
  pass_rows: number | null;
  /**
   * in the first round of a run; null later, and for a remote target
   */
  prompt_cache: PromptCacheInfo | null;
}
/**
 * What verification took of a remote target: requests, tokens as it bills them, bytes over the wire.
 */
export interface UsageInfo {
  calls: number;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cached_tokens: number | null;
  sent_bytes: number | null;
  received_bytes: number | null;
}
/**
 * Why a round was planned as it was: the choice, the best of every other drafter, and one plain pass.
 *
 * `explored`: the choice was not the best by the estimates, and was made because they may be out of date.
 */
export interface PlanInfo {
  chosen: ChoiceInfo;
  others: ChoiceInfo[];
  plain_ms: number;
  explored: boolean;
}
/**
 * What a policy could do in a round; depth 0 is plain decoding. Tokens and time are expected, not measured.
 *
 * siblings: drafted tokens beside the chain of `depth`.
 */
export interface ChoiceInfo {
  drafter: string;
  depth: number;
  expected_tokens: number;
  expected_ms: number;
  siblings: number;
}
/**
 * What a run did not have to compute, because the target's cache had it from earlier runs.
 *
 * `held_tokens`: of earlier prefixes, beside the context. `saved_ms`: an estimate, the hit tokens times the measured
 * time per token of the last prompt of which 64 tokens or more were computed; null before there was one.
 */
export interface PromptCacheInfo {
  hit_tokens: number;
  prompt_tokens: number;
  saved_ms: number | null;
  held_tokens: number;
}
/**
 * The guesses of one round, told once its following tokens are known; the drafter in use is the first.
 */
export interface Shadow {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "shadow";
  round: number;
  guesses: ShadowGuess[];
  scores: ShadowScore[];
}
/**
 * What one drafter guessed after a round's prefix. `matched`: how many tokens of its longest path came true.
 */
export interface ShadowGuess {
  drafter: string;
  /**
   * the path of its tree that came closest
   */
  tokens: string[];
  drafted: number;
  matched: number;
}
/**
 * A drafter over all rounds so far; `oracle` takes the best guess of every round.
 */
export interface ShadowScore {
  drafter: string;
  rounds: number;
  mean_drafted: number;
  mean_matched: number;
  /**
   * share of the rounds in which no other guess came further
   */
  best_share: number;
  /**
   * null for the oracle
   */
  mean_draft_ms: number | null;
}
/**
 * The drafter's proposals after the first `position` tokens of the output, and how the output goes on.
 *
 * Computed after the run, outside its times. drafted: the ids of a chain. draft_probs: q of each, 1 for a chosen
 * token. text_probs[i]: q of the output's own token at place i of the chain, as far as the places before it hold the
 * output's tokens. certainties: the drafter's largest probability at each place, without filters; empty if it reports
 * none. target_prob: p of the output's token. target_certainty: the largest p, without filters. overlap: sum min(p, q)
 * at the first place, where the run tested a token. draft_top: the most probable tokens of q at the first place.
 */
export interface Record {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "record";
  position: number;
  token_id: number;
  target_prob: number | null;
  target_certainty: number | null;
  overlap: number | null;
  drafted: number[];
  draft_probs: number[];
  text_probs: number[];
  certainties: number[];
  draft_top: TopToken[];
  draft_ms: number;
}
/**
 * The end of a run. `departure` is null unless a greedy run can be compared with one of the other kind.
 */
export interface Done {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "done";
  total_tokens: number;
  total_accepted: number;
  total_drafted: number;
  total_rounds: number;
  generated_text: string;
  text_tail: string;
  token_ids: number[];
  finish_reason: "stop" | "length" | "context" | "cancelled" | "error";
  metrics: MetricValues;
  departure: Departure | null;
  /**
   * why drafted tokens were rejected; null without evidence, and if none was tested
   */
  autopsy: Autopsy | null;
}
/**
 * Defined once, in the documentation of metrics; windowed unless named `overall_*` or a count.
 */
export interface MetricValues {
  window_rounds: number;
  acceptance_rate: number | null;
  mean_acceptance_length: number | null;
  tokens_per_round: number | null;
  per_position_acceptance_rate: number[];
  conditional_acceptance_rate: (number | null)[];
  effective_tps: number | null;
  baseline_tps: number | null;
  speedup: number | null;
  ttft_ms: number | null;
  avg_draft_latency_ms: number | null;
  avg_verify_latency_ms: number | null;
  avg_network_ms: number | null;
  tokens: number;
  rounds: number;
  accepted: number;
  drafted: number;
  bonus: number;
  resampled: number;
  plain: number;
  overall_acceptance_rate: number | null;
  overall_mean_acceptance_length: number | null;
  overall_tps: number | null;
  overall_speedup: number | null;
  per_call_tps: number | null;
  per_call_speedup: number | null;
  avg_hidden_draft_ms: number | null;
  kept_mass: number | null;
  total_variation_bound: number;
  usage: UsageInfo | null;
  /**
   * rounds of the run in which other runs used the models too: their times are not those of one run
   */
  shared_rounds: number;
}
/**
 * Where the greedy text of a speculative run and that of a plain run of the same prompt part.
 *
 * `position`: of the first token that differs, from 0. `margin`: the difference of the two highest log-probabilities
 * there, in nats, in the plain run if it has scores, else in the speculative one; null if neither has. A small margin
 * is a near tie, which the noise floor of a quantised model can turn.
 */
export interface Departure {
  position: number;
  plain_token: string;
  speculative_token: string;
  margin: number | null;
}
/**
 * The rejections of a run by cause.
 *
 * tested, rejected: drafted tokens. expected: the sum over the tested tokens of the probability of rejection; the
 * causes' `expected` add up to it, and their `rejections` to `rejected`. level: of the intervals. missing: what the
 * run lacks for a complete answer, in sentences.
 */
export interface Autopsy {
  rounds: number;
  tested: number;
  rejected: number;
  expected: number;
  level: number;
  tokens_per_round: number | null;
  causes: CauseShare[];
  /**
   * by the class of the text's token, most tested tokens first
   */
  classes: ClassShare[];
  shorter: ShorterDraft | null;
  missing: string[];
}
/**
 * One cause, over all rounds. docs/autopsy.md gives the formulas.
 *
 * tokens: rejected tokens that this cause explains more of than any other. rejections, expected: its part of the
 * measured and of the expected rejections. share: expected / the sum over the causes; negative for a cause that saved
 * rejections. low, high: bootstrap interval of the share, null for too few rounds. gain: tokens a round more without
 * this cause, by the acceptance of each position; null where it is not computed.
 */
export interface CauseShare {
  cause: "irreducible" | "position" | "depth" | "vocabulary" | "filters" | "greedy" | "rule" | "unknown";
  tokens: number;
  rejections: number;
  expected: number;
  share: number | null;
  low: number | null;
  high: number | null;
  /**
   * what would help, one sentence
   */
  remedy: string;
  gain: number | null;
  examples: RejectedToken[];
}
/**
 * One rejected token, as an example.
 *
 * before: the end of the text before it. drafted: the token. chosen: what the text has in its place, null if the run
 * ended there. share: of its rejection that the cause explains; above 1 if another cause saved rejections.
 */
export interface RejectedToken {
  run: string | null;
  round: number;
  node: number;
  position: number;
  before: string;
  drafted: string;
  chosen: string | null;
  draft_prob: number | null;
  target_prob: number | null;
  share: number;
}
/**
 * Tested tokens at places of one kind: the class of the token that the text has there.
 *
 * rejected: of them. expected: the sum of their probabilities of rejection.
 */
export interface ClassShare {
  token_class:
    "word start" | "word continuation" | "number" | "whitespace" | "punctuation" | "code symbol" | "control" | "other";
  tested: number;
  rejected: number;
  expected: number;
}
/**
 * The most tokens of a chain that would have been faster, by the measured times of drafted tokens and of passes.
 *
 * A pass whose time was not measured is taken to last as long as that of the whole draft. drafted: the most tokens of
 * a draft of the run.
 */
export interface ShorterDraft {
  depth: number;
  tps: number;
  drafted: number;
  measured_tps: number;
}
export interface Failure {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "error";
  code: string;
  message: string;
  hint: string;
  round: number | null;
}
/**
 * Runs of requests to the API that are new or have changed. whole: the list is complete, older runs are gone.
 *
 * refused: all groups of requests that were refused, the one that grew last at the end; null if they are as before.
 */
export interface TrafficNews {
  run: string | null;
  seq: number;
  t_ms: number;
  type: "traffic";
  whole: boolean;
  runs: TrafficRun[];
  refused: RefusedRequests[] | null;
}
/**
 * A run of a request, as it is now.
 *
 * `created_ms`: when it was asked for, since 1970. `route`: of the request. `key`: the name of its key; null where no
 * key is needed. `prompt`: the first 200 characters, if asked for. `place`: in the queue, 1 is next. `queue_ms`: its
 * wait for the models. `most_runs`, `shared_rounds`: how many runs used the models at the same time, and in how many
 * of its rounds others did. `summary`: settings and figures, null until the run has begun. `failure`: why it failed.
 * `kept`: whether `/api/runs` has it. The state `unknown` is that of a watched run without news.
 */
export interface TrafficRun {
  run: string;
  created_ms: number;
  route: string;
  key: string | null;
  prompt_tokens: number;
  prompt: string | null;
  state: "queued" | "prefill" | "decoding" | "done" | "cancelled" | "failed" | "unknown";
  place: number | null;
  queue_ms: number | null;
  most_runs: number;
  shared_rounds: number;
  summary: RunSummary | null;
  failure: string | null;
  kept: boolean;
}
/**
 * Settings and figures of a run. A figure is null where it is not known; `docs/metrics.md` defines them.
 *
 * The settings are those at the start of the run. `ended`: null while the run goes on, and if its process was ended
 * before it. `failure`: why a run ended with an error. `watched`: null unless another server computed the run.
 * `sweep`: null for a run; an entry with it is a sweep, and its other fields are the settings and sums of the runs of
 * its best choice. `unlike`: why there is no speedup although there is a baseline, in words: passes of the run and of
 * its baseline took unlike times.
 */
export interface RunSummary {
  target: string;
  draft: string | null;
  drafter: string;
  policy: string;
  k: number;
  nodes: number;
  rule: "token" | "block" | "match" | "typical";
  sampling: SamplingInfo;
  max_tokens: number;
  seed: number;
  exactness: "exact" | "exact-greedy" | "bounded" | "lossy" | "unverified";
  prompt_tokens: number;
  tokens: number;
  rounds: number;
  accepted: number;
  drafted: number;
  acceptance_rate: number | null;
  tokens_per_round: number | null;
  tps: number | null;
  baseline_tps: number | null;
  speedup: number | null;
  unlike: string | null;
  ttft_ms: number | null;
  ended: ("stop" | "length" | "context" | "cancelled" | "error") | null;
  failure: string | null;
  sweep: SweepSummary | null;
  watched: WatchedInfo | null;
}
/**
 * Of a sweep: its folder, which has its traces, what it compared, and its answer.
 *
 * `best`: the fastest choice at the lowest temperature, plain decoding included; `low` and `high` bound the 95 %
 * interval of its speedup over the prompts.
 */
export interface SweepSummary {
  folder: string;
  prompts: number;
  choices: number;
  runs: number;
  temperatures: number[];
  best: string;
  low: number | null;
  high: number | null;
  answer: string;
}
/**
 * Requests that ended with an error before a run began, alike in all but their time.
 *
 * `first_ms`, `last_ms`: since 1970. `status`, `code`: of the answer. `reason`: in words; figures in it are those of
 * the last request. `route`: null if there is no such route. `client`: the program or library that sent them,
 * null if unknown. `key`: the name of their key, null without one.
 */
export interface RefusedRequests {
  count: number;
  first_ms: number;
  last_ms: number;
  status: number;
  code: string;
  reason: string;
  route: string | null;
  client: string | null;
  key: string | null;
}
/**
 * `GET /api/health`. `progress` is the share of loading done, 0 to 1; null while it is unknown.
 */
export interface Health {
  status: "loading" | "ready" | "failed";
  stage: string;
  progress: number | null;
  message: string | null;
  hint: string | null;
  version: string;
  target_model: ModelInfo | null;
  draft_model: ModelInfo | null;
  target_loaded: boolean;
  draft_loaded: boolean;
  drafter: string;
  default_k: number | null;
  baseline: Baseline | null;
  noise_floor: NoiseFloor | null;
  exactness: ExactnessInfo | null;
  remote: RemoteInfo | null;
  batch_invariant: boolean;
  runs_waiting: number;
}
/**
 * `GET /api/settings`: the ranges and choices of the page's form, and its defaults.
 *
 * `auto_drafters`: what the policy `auto` chooses from in a run that names no drafter. `prediction_drafters`: those
 * that read a predicted output; the first one drafts if a run with a prediction names none. `race_targets`: other
 * targets than the server's own.
 */
export interface SettingsInfo {
  ranges: {
    [k: string]: RangeInfo;
  };
  defaults: {
    [k: string]: number | string | null;
  };
  profiles: ProfileInfo[];
  profile: string;
  drafters: DrafterInfo[];
  auto_drafters: string[];
  prediction_drafters: string[];
  rules: RuleInfo[];
  pass_times: PassTime[];
  race_targets: RaceTargetInfo[];
}
/**
 * The allowed values of a setting, ends included, and the step of its slider.
 */
export interface RangeInfo {
  min: number;
  max: number;
  step: number;
  help: string;
}
/**
 * A profile: a target with the draft model and the drafter that suit it. `draft`: null without a draft model.
 */
export interface ProfileInfo {
  name: string;
  title: string;
  target: string;
  draft: string | null;
  drafter: string;
}
/**
 * A drafter. `reason`: why it cannot be used, and what to do about it; null if it is available.
 */
export interface DrafterInfo {
  name: string;
  title: string;
  help: string;
  paper: string;
  trees: boolean;
  available: boolean;
  reason: string | null;
}
/**
 * A verification rule. `label`: its exactness label. `trees`: whether it verifies trees as well as chains.
 */
export interface RuleInfo {
  name: "token" | "block" | "match" | "typical";
  title: string;
  help: string;
  label: "exact" | "exact-greedy" | "bounded" | "lossy" | "unverified";
  trees: boolean;
}
/**
 * A target that a start message can name. `drafters`: those that it has for certain. `reason`: why it cannot be
 * loaded, and what to do about it; null if its files are here.
 */
export interface RaceTargetInfo {
  name: string;
  title: string;
  drafters: string[];
  reason: string | null;
}
/**
 * `POST /api/test-draft`: a few tokens drafted, nothing verified. `tps`: drafted tokens per second.
 */
export interface TestDraft {
  drafter: string;
  prompt: string;
  tokens: DraftedToken[];
  draft_ms: number;
  tps: number | null;
}
/**
 * A drafted token, with q of the token and the time that drafting it took.
 */
export interface DraftedToken {
  token: string;
  token_id: number;
  draft_prob: number;
  draft_time_ms: number;
}
/**
 * `POST /api/draft-alone`: what the drafter of a run writes on its own after a part of the run's output.
 *
 * `run`: the message that would begin the run again. `prompt_digest`: as the run reported it. `output_ids`: the output
 * up to the token to continue from, and that token. `most`: tokens to write.
 */
export interface AloneRequest {
  run: Start;
  prompt_digest: string;
  output_ids: number[];
  most?: number;
}
/**
 * The drafter's own text: no target verified it, and it is no part of the run. `ended`: with an end token.
 */
export interface AloneText {
  drafter: string;
  model: string | null;
  tokens: DraftedToken[];
  text: string;
  ended: boolean;
  draft_ms: number;
}
/**
 * Take part. `token`: as `welcome` gave it, to go on with the same score; null for a new visitor.
 */
export interface Join {
  type: "join";
  name: string;
  token?: string | null;
}
/**
 * Open the classroom and lead it. `token`: as `welcome` gave it, to go on leading it.
 */
export interface Present {
  type: "present";
  token?: string | null;
}
/**
 * Decode an answer, whose rounds the class then bets on. Of the presenter.
 */
export interface Prepare {
  type: "prepare";
  prompt: string;
  k?: number;
  /**
   * sampling temperature; 0 is greedy (0 to 2)
   */
  temperature?: number;
  max_tokens?: number;
  seed?: number | null;
  drafter?: string | null;
}
/**
 * How many of the drafted tokens of a round the target accepts. A later bet replaces an earlier one.
 */
export interface Bet {
  type: "bet";
  round: number;
  accepted: number;
}
/**
 * Show the decisions of the round. Of the presenter.
 */
export interface Reveal {
  type: "reveal";
}
/**
 * Go on to the next round. Of the presenter.
 */
export interface Next {
  type: "next";
}
/**
 * End the classroom, with all scores. Of the presenter.
 */
export interface Close {
  type: "close";
}
/**
 * Everything that one connection may see. `accepted`, `replacement` and `votes` are null until the reveal.
 *
 * `round` is from 1, of `rounds`. `before`: the end of the text before the round. `bets`: visitors who have bet.
 * `votes[i]`: of them, those who bet on i accepted tokens. `played`: decisions that were shown so far, which is the
 * highest possible score. `always`: the score of one who bets on full acceptance in every round.
 */
export interface ClassroomView {
  type: "classroom";
  phase: "closed" | "waiting" | "preparing" | "betting" | "revealed" | "ended";
  leads: boolean;
  presenter_here: boolean;
  prompt: string;
  temperature: number;
  drafter: string;
  round: number;
  rounds: number;
  before: string;
  tokens: ClassToken[];
  accepted: number | null;
  replacement: string | null;
  bets: number;
  votes: number[] | null;
  visitors: number;
  board: BoardPlace[];
  played: number;
  always: number;
  you: Visitor | null;
}
/**
 * A drafted token. `draft_prob`: q as the rule used it; at T=0, where that is 1, of the draft model at T=1.
 *
 * The other fields are null until the round is revealed: `target_prob` is p in the same way, `status` the decision.
 */
export interface ClassToken {
  token: string;
  draft_prob: number | null;
  status: ("accepted" | "rejected" | "discarded") | null;
  target_prob: number | null;
  acceptance_prob: number | null;
  uniform: number | null;
}
export interface BoardPlace {
  name: string;
  score: number;
}
/**
 * The visitor of this connection. `rank`: from 1; equal scores share one. `gained`: in the revealed round.
 */
export interface Visitor {
  name: string;
  score: number;
  rank: number;
  bet: number | null;
  gained: number | null;
}
/**
 * The answer to `join` and `present`: the token with which this browser comes back. It is known to no one else.
 */
export interface Welcome {
  type: "welcome";
  token: string;
}
/**
 * A message that was not followed: what happened, and what to do.
 */
export interface Refused {
  type: "refused";
  code: string;
  message: string;
  hint: string;
}
/**
 * `GET /api/runs`: runs that are kept, the newest first.
 *
 * `kept`: false if the server keeps no runs. `after`: the id to continue with; null at the end.
 */
export interface RunPage {
  kept: boolean;
  runs: StoredRun[];
  after: string | null;
}
/**
 * A run of a store, without its trace.
 *
 * `created_ms` is since 1970, in UTC. `prompt`: in a list only its beginning. `trace_bytes`: compressed, as stored.
 */
export interface StoredRun {
  id: string;
  created_ms: number;
  name: string | null;
  prompt: string;
  summary: RunSummary;
  trace_bytes: number;
}
/**
 * `GET /api/runs/acceptance`: acceptance over the newest runs.
 *
 * `kept`: false if the server keeps no runs. `runs`: those that were read. `left_out`: runs that were not read:
 * reading has a limit, and runs can be removed meanwhile.
 */
export interface AcceptanceAnatomy {
  kept: boolean;
  runs: number;
  left_out: number;
  tested: number;
  accepted: number;
  groups: AcceptanceGroup[];
}
/**
 * All tested tokens whose `by` is known, by it.
 */
export interface AcceptanceGroup {
  by: "position" | "entropy" | "token_class" | "prompt";
  cells: AcceptanceCell[];
}
/**
 * Tested tokens with one property. `low`, `high`: Wilson's 95 % interval of accepted / tested.
 */
export interface AcceptanceCell {
  label: string;
  tested: number;
  accepted: number;
  low: number;
  high: number;
  examples: TokenExample[];
}
/**
 * A tested token in its text. `instead`: what the text has in its place; null for an accepted token.
 */
export interface TokenExample {
  run: string;
  round: number;
  node: number;
  before: string;
  token: string;
  after: string;
  accepted: boolean;
  instead: string | null;
}
/**
 * A run of a store with the whole prompt. `header`: of its trace, with version and machine.
 */
export interface StoredRunDetail {
  id: string;
  created_ms: number;
  name: string | null;
  prompt: string;
  summary: RunSummary;
  trace_bytes: number;
  header: Header;
}
/**
 * of the trace: when, with which version and on which machine it ran
 */
export interface Header {
  type: "trace";
  version: number;
  created: string;
  speculatoviz: string;
  machine: string;
}
/**
 * `PATCH /api/runs/ID`. `name`: up to 200 characters; null takes the name away.
 */
export interface RunChange {
  name: string | null;
}
/**
 * `POST /api/statistics`: one entry for each source in the text; answers of one source are added up.
 */
export interface StatisticsFound {
  statistics: EngineStatistics[];
}
/**
 * What one source shows. Counts are the engine's, rates are computed from them; null where a count is missing.
 *
 * `drafts`: rounds with a draft. `generated`: tokens of the answers. `per_position_acceptance_rate`: of all drafts.
 * `conditional_acceptance_rate`: of the drafts that reached a position. `reported_rate`, `reported_length`: the
 * engine's own acceptance rate and mean acceptance length. `cannot_show`: what this source cannot show.
 * `disagreements`: where its figures contradict each other. `docs/metrics.md` defines the figures.
 */
export interface EngineStatistics {
  source: string;
  scope: string;
  answers: number;
  drafts: number | null;
  draft_tokens: number | null;
  accepted_tokens: number | null;
  generated: number | null;
  acceptance_rate: number | null;
  mean_acceptance_length: number | null;
  tokens_per_pass: number | null;
  per_position_acceptance_rate: number[] | null;
  conditional_acceptance_rate: (number | null)[] | null;
  reported_rate: number | null;
  reported_length: number | null;
  cannot_show: string[];
  disagreements: string[];
}
/**
 * What is asked about a kept run. Null, or an empty text: as the run was.
 *
 * `rtt_ms`: of the way to the target and back. `draft_ms`: of each drafted token. `passes`: pass times of another
 * machine, as `1:25,2:36,4:51` or as `llama-batched-bench` or `vllm bench serve` gives them. `batch`: sequences that
 * decode together.
 */
export interface WhatIfQuestion {
  policy?: "auto" | "adaptive" | "fixed";
  rule?: ("token" | "block" | "match" | "typical") | null;
  rtt_ms?: number | null;
  draft_ms?: number | null;
  passes?: string;
  batch?: number;
}
/**
 * `POST /api/runs/ID/whatif`. Rates are tokens per second, of all sequences of the batch together.
 *
 * `measured_tps`: of the run as it was, without the time for evidence. `plain_tps`: of decoding without drafts,
 * computed from the same passes. `best`: the depth of the highest rate, 0 for plain decoding, which is the highest in
 * the share `best_share` of the resamples. `level`: of the intervals. `left_out`: depths whose pass is larger than
 * every measured one. `whole`: false if the record ends before the output. `passes`: the pass times that were used,
 * and `passes_given` whether they came with the question.
 */
export interface WhatIfAnswer {
  tokens: number;
  drafter: string;
  policy: "auto" | "adaptive" | "fixed";
  rule: "token" | "block" | "match" | "typical";
  temperature: number;
  batch: number;
  measured_tps: number | null;
  plain_tps: number;
  choices: WhatIfChoice[];
  best: number;
  best_share: number | null;
  level: number;
  left_out: number[];
  whole: boolean;
  own: RecordedCosts;
  passes: PassTime[];
  passes_given: boolean;
}
/**
 * One depth. Times are means over the rounds; `low` and `high` bound the interval of `tps`, null for short outputs.
 *
 * `exact`: whether the accepted tokens follow from the record without a random choice; else they are an estimate.
 * `measured_passes`: whether every pass has a size that was measured; else some times are interpolated.
 */
export interface WhatIfChoice {
  depth: number;
  rounds: number;
  accepted: number;
  tokens_per_round: number;
  draft_ms: number;
  verify_ms: number;
  round_ms: number;
  tps: number;
  low: number | null;
  high: number | null;
  speedup: number;
  exact: boolean;
  measured_passes: boolean;
}
/**
 * What the run itself measured: milliseconds of the way to the target and back, and of a drafted token.
 */
export interface RecordedCosts {
  rtt_ms: number;
  draft_ms: number;
}
