"""The events of a run: the one vocabulary of the page, the trace and the metrics.

Contract: JSON, snake_case. Times are milliseconds, log-probabilities and entropies are in nats, and what is
not known is null. `draft` is q, `target` is p. The page's TypeScript types are generated from this module
and from `messages`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from speculatoviz.core.types import FinishReason, Label, Rule, Status
from speculatoviz.telemetry.autopsy_info import Autopsy
from speculatoviz.telemetry.parts import (
    Baseline,
    ComparedToken,
    ExactnessInfo,
    GrammarInfo,
    HeadInfo,
    ModelInfo,
    NoiseFloor,
    OverlapInfo,
    PassTime,
    PlanInfo,
    PromptCacheInfo,
    RecordInfo,
    RemoteInfo,
    SamplingInfo,
    Strict,
    TopToken,
    UsageInfo,
    WatchedInfo,
)


class ServerEvent(Strict):
    run: str | None
    seq: int
    t_ms: float


class Queued(ServerEvent):
    """Another run holds the model; `place` 1 is next."""

    type: Literal["queued"] = "queued"
    place: int


class Loading(ServerEvent):
    """Another target than the server's own is being loaded for the run: no part of any timing.

    `progress` is the share of the stage that is done, 0 to 1; null while it is unknown. The last stage is "loaded".
    """

    type: Literal["loading"] = "loading"
    target: str
    stage: str
    progress: float | None
    elapsed_s: float


class Started(ServerEvent):
    type: Literal["started"] = "started"
    prompt: str
    prompt_tokens: int
    target_model: ModelInfo
    draft_model: ModelInfo | None
    drafter: str
    k: int
    policy: str
    rule: Rule
    nodes: int = Field(0, description="most tokens of a draft; up to k it is a chain")
    sampling: SamplingInfo
    grammar: GrammarInfo | None = Field(None, description="what the output has to be; null: anything")
    max_tokens: int
    seed: int
    exactness: ExactnessInfo
    noise_floor: NoiseFloor | None
    baseline: Baseline | None
    remote: RemoteInfo | None = Field(None, description="null for a target in the server's own process")
    per_call_baseline: Baseline | None = Field(None, description="a remote target, one call per token")
    translated: bool = Field(False, description="the draft model has another vocabulary than the target")
    heads: list[HeadInfo] = Field([], description="of the drafters that have a head with a card")
    batch_invariant: bool = Field(False, description="greedy text is that of plain decoding, bit for bit")
    pass_times: list[PassTime] = Field(
        default_factory=list, description="of the target, as measured when the run began"
    )
    record: RecordInfo | None = Field(None, description="what `record` events will hold; null if nothing is recorded")
    prompt_digest: str | None = Field(
        None, description="SHA-256 of the prompt's token ids as little-endian int32; null in older traces"
    )
    watched: WatchedInfo | None = Field(None, description="a run of another server, recorded as it passed; else null")


class Updated(ServerEvent):
    """An update took effect; `round` is the first round under it."""

    type: Literal["updated"] = "updated"
    round: int
    k: int
    nodes: int = 0
    drafter: str
    sampling: SamplingInfo
    exactness: ExactnessInfo
    remote: RemoteInfo | None = Field(None, description="null for a target in the server's own process")


class DraftToken(ServerEvent):
    """One node of the draft tree. `parent` is null for a child of the last committed token."""

    type: Literal["draft_token"] = "draft_token"
    round: int
    node: int
    parent: int | None
    position: int
    token: str
    token_id: int
    logprob: float | None
    entropy: float | None
    draft_prob: float
    top_tokens: list[TopToken]
    draft_time_ms: float
    source: str
    covered_mass: float | None = Field(description="share of the draft's own distribution that q covers")


class RunWarning(ServerEvent):
    """Something went wrong and the run goes on: what happened, and what to do about it."""

    type: Literal["warning"] = "warning"
    round: int
    message: str
    hint: str


class VerifyResult(ServerEvent):
    """One tested, discarded or emitted token. `node` is null for the token after the accepted path.

    `text` is what this token adds to the visible text: empty while a character or a possible stop string is
    incomplete, and more than the token itself when it completes one. Joined, they are `generated_text`,
    save for what only the end of the run decides (`Done.text_tail`).
    """

    type: Literal["verify_result"] = "verify_result"
    round: int
    node: int | None
    position: int
    status: Status
    draft_token: str | None
    final_token: str | None
    token_id: int
    text: str
    draft_logprob: float | None
    target_logprob: float | None
    draft_prob: float | None
    target_prob: float | None
    acceptance_prob: float | None
    uniform: float | None
    entropy: float | None
    target_top_tokens: list[TopToken]
    residual_top_tokens: list[TopToken]
    compared: list[ComparedToken] = Field(
        default_factory=list,
        description="the most probable tokens of p and q as the rule used them; empty if a target does not report them",
    )
    verify_latency_ms: float
    overlap: OverlapInfo | None = Field(None, description="of a tested token, if the target returns distributions")


class MetricValues(Strict):
    """Defined once, in the documentation of metrics; windowed unless named `overall_*` or a count."""

    window_rounds: int
    acceptance_rate: float | None
    mean_acceptance_length: float | None
    tokens_per_round: float | None
    per_position_acceptance_rate: list[float]
    conditional_acceptance_rate: list[float | None]
    effective_tps: float | None
    baseline_tps: float | None
    speedup: float | None
    ttft_ms: float | None
    avg_draft_latency_ms: float | None
    avg_verify_latency_ms: float | None
    avg_network_ms: float | None
    tokens: int
    rounds: int
    accepted: int
    drafted: int
    bonus: int
    resampled: int
    plain: int
    overall_acceptance_rate: float | None
    overall_mean_acceptance_length: float | None
    overall_tps: float | None
    overall_speedup: float | None
    per_call_tps: float | None = None
    per_call_speedup: float | None = None
    avg_hidden_draft_ms: float | None = None
    kept_mass: float | None = None
    total_variation_bound: float = 0.0
    usage: UsageInfo | None = None
    shared_rounds: int = Field(
        0, description="rounds of the run in which other runs used the models too: their times are not those of one run"
    )


class Metrics(MetricValues, ServerEvent):
    """Sent after every round: the round's own times and counts, then the metrics of the run so far, all at one level.

    `round_total_variation_bound` and `round_usage` are the round's; the fields without `round_` are the run's.
    """

    type: Literal["metrics"] = "metrics"
    round: int
    k: int
    drafter: str
    round_drafted: int
    round_accepted: int
    round_emitted: int
    draft_ms: float
    verify_ms: float
    network_ms: float
    evidence_ms: float
    other_ms: float
    round_ms: float
    hidden_draft_ms: float
    prefill_ms: float
    draft_prefill_ms: float = Field(0.0, description="the drafter's part of prefill_ms; plain decoding has none")
    sampling_ms: float = Field(0.0, description="the part of verify_ms for acceptance tests and draws; 0 if not known")
    cache_ms: float = Field(0.0, description="the part of verify_ms for keeping the accepted path; 0 if not known")
    exactness: Label = "exact"
    round_total_variation_bound: float = 0.0
    round_usage: UsageInfo | None = None
    plan: PlanInfo | None = Field(None, description="why the round was planned so; null for the policy `fixed`")
    runs: int = Field(1, description="runs that used the models in this round, this one included")
    pass_rows: int | None = Field(
        None,
        description="tokens of the target's pass, those of other runs included; null if no other run used it, and for "
        "a remote target, which does not report them",
    )
    prompt_cache: PromptCacheInfo | None = Field(
        None, description="in the first round of a run; null later, and for a remote target"
    )


class ShadowGuess(Strict):
    """What one drafter guessed after a round's prefix. `matched`: how many tokens of its longest path came true."""

    drafter: str
    tokens: list[str] = Field(description="the path of its tree that came closest")
    drafted: int
    matched: int


class ShadowScore(Strict):
    """A drafter over all rounds so far; `oracle` takes the best guess of every round."""

    drafter: str
    rounds: int
    mean_drafted: float
    mean_matched: float
    best_share: float = Field(description="share of the rounds in which no other guess came further")
    mean_draft_ms: float | None = Field(description="null for the oracle")


class Shadow(ServerEvent):
    """The guesses of one round, told once its following tokens are known; the drafter in use is the first."""

    type: Literal["shadow"] = "shadow"
    round: int
    guesses: list[ShadowGuess]
    scores: list[ShadowScore]


class Record(ServerEvent):
    """The drafter's proposals after the first `position` tokens of the output, and how the output goes on.

    Computed after the run, outside its times. drafted: the ids of a chain. draft_probs: q of each, 1 for a chosen
    token. text_probs[i]: q of the output's own token at place i of the chain, as far as the places before it hold the
    output's tokens. certainties: the drafter's largest probability at each place, without filters; empty if it reports
    none. target_prob: p of the output's token. target_certainty: the largest p, without filters. overlap: sum min(p, q)
    at the first place, where the run tested a token. draft_top: the most probable tokens of q at the first place.
    """

    type: Literal["record"] = "record"
    position: int
    token_id: int
    target_prob: float | None
    target_certainty: float | None
    overlap: float | None
    drafted: list[int]
    draft_probs: list[float]
    text_probs: list[float]
    certainties: list[float]
    draft_top: list[TopToken]
    draft_ms: float


class Departure(Strict):
    """Where the greedy text of a speculative run and that of a plain run of the same prompt part.

    `position`: of the first token that differs, from 0. `margin`: the difference of the two highest log-probabilities
    there, in nats, in the plain run if it has scores, else in the speculative one; null if neither has. A small margin
    is a near tie, which the noise floor of a quantised model can turn.
    """

    position: int
    plain_token: str
    speculative_token: str
    margin: float | None


class Done(ServerEvent):
    """The end of a run. `departure` is null unless a greedy run can be compared with one of the other kind."""

    type: Literal["done"] = "done"
    total_tokens: int
    total_accepted: int
    total_drafted: int
    total_rounds: int
    generated_text: str
    text_tail: str
    token_ids: list[int]
    finish_reason: FinishReason
    metrics: MetricValues
    departure: Departure | None = None
    autopsy: Autopsy | None = Field(
        None, description="why drafted tokens were rejected; null without evidence, and if none was tested"
    )


class Failure(ServerEvent):
    type: Literal["error"] = "error"
    code: str
    message: str
    hint: str
    round: int | None = None


Event = Annotated[
    Queued
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
    | Failure,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
