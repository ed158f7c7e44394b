"""Objects that several events contain: models, sampling, exactness, baselines, remote targets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from speculatoviz.core.constraint import GrammarKind
from speculatoviz.core.types import Label


class Strict(BaseModel):
    """Immutable; unknown fields are refused and NaN or infinity never travels as a number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class TopToken(Strict):
    token: str
    token_id: int
    logprob: float


class ComparedToken(Strict):
    """p and q of one token as the rule used them: after temperature and filters. `draft_prob`: null without a q."""

    token: str
    token_id: int
    target_prob: float
    draft_prob: float | None


class PassTime(Strict):
    """Median time of one forward pass of the target over `tokens` tokens."""

    tokens: int
    ms: float


class OverlapInfo(Strict):
    """How target p and draft q overlap at a tested token; `core.rounds.Overlap` defines the fields.

    Probabilities. 1 - accepted / reach is the expected rejection; docs/autopsy.md splits it by cause.
    """

    reach: float
    accepted: float
    shared: float
    uncovered: float
    filtered: float


class HeadInfo(Strict):
    """What the card of a draft head states. acceptance: by position, of the tokens that were tested on held-out text.

    depth: the number of positions that it was trained for.
    """

    drafter: str
    file: str
    acceptance: list[float]
    depth: int


class RowTime(Strict):
    """The time of a pass over `rows` tokens of a model on a runtime, as it was measured to choose one."""

    runtime: str
    rows: int
    ms: float


class RuntimeChoiceInfo(Strict):
    """Why a model is on its runtime, as a clause, and the times that were compared; none if nothing was measured."""

    reason: str
    times: list[RowTime]


class ModelInfo(Strict):
    """A model. `choice`: of its runtime; null if the model's name or a setting decided."""

    name: str
    runtime: str
    quantisation: str
    parameters: int | None
    size_bytes: int | None
    context_tokens: int
    vocabulary: int
    fingerprint: str
    computes_on: str
    choice: RuntimeChoiceInfo | None = None


class PenaltiesInfo(Strict):
    """What changes logits before temperature and filters; `core.types.Penalties` defines the fields.

    `last_n`: null for all tokens. `bias`: pairs of a token id and what is added to its logit.
    """

    presence: float
    frequency: float
    repetition: float
    last_n: int | None
    bias: tuple[tuple[int, float], ...]


class GrammarInfo(Strict):
    """A grammar that the output follows. `text`: a JSON schema, a regular expression, a Lark or a GBNF grammar."""

    kind: GrammarKind
    text: str


class SamplingInfo(Strict):
    """`penalties`: null if none is on."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    penalties: PenaltiesInfo | None = None


class ExactnessInfo(Strict):
    label: Label
    reason: str


class NoiseFloor(Strict):
    """Total variation between passes of one and of `rows` tokens of the target over the same tokens.

    Over `tokens` positions that end at a context of `context_tokens`; in longer contexts it can be larger. `proven`:
    the target is batch-invariant, and all figures are 0: the logits of all shapes of a pass are equal bit by bit.
    """

    mean_total_variation: float
    max_total_variation: float
    argmax_agreement: float
    tokens: int
    context_tokens: int = 0
    rows: int = 0
    proven: bool = False


class Baseline(Strict):
    """Plain decoding of the same target by the same engine at depth 0: a run, never a formula."""

    tps: float
    tokens: int
    context_tokens: int
    age_s: float
    kind: Literal["startup", "plain_run", "streaming", "per_call"]


class ChoiceInfo(Strict):
    """What a policy could do in a round; depth 0 is plain decoding. Tokens and time are expected, not measured.

    siblings: drafted tokens beside the chain of `depth`.
    """

    drafter: str
    depth: int
    expected_tokens: float
    expected_ms: float
    siblings: int = 0


class PlanInfo(Strict):
    """Why a round was planned as it was: the choice, the best of every other drafter, and one plain pass.

    `explored`: the choice was not the best by the estimates, and was made because they may be out of date.
    """

    chosen: ChoiceInfo
    others: list[ChoiceInfo]
    plain_ms: float
    explored: bool


class PromptCacheInfo(Strict):
    """What a run did not have to compute, because the target's cache had it from earlier runs.

    `held_tokens`: of earlier prefixes, beside the context. `saved_ms`: an estimate, the hit tokens times the measured
    time per token of the last prompt of which 64 tokens or more were computed; null before there was one.
    """

    hit_tokens: int
    prompt_tokens: int
    saved_ms: float | None
    held_tokens: int


class RecordInfo(Strict):
    """What is recorded after the run: proposals of `drafter` after every output token, `depth` tokens deep.

    by_prefix: q of a token depends on the tokens before it alone, so that q at a later place of a draft is q at the
    first place of the draft from there.
    """

    drafter: str
    depth: int
    by_prefix: bool


class Finding(Strict):
    question: str
    answer: str


class RemoteInfo(Strict):
    """What was found out about a remote target when it was connected to. `calls_per_round`: of a usual round."""

    url: str
    mode: str
    rtt_ms: float | None
    calls_per_round: float | None
    findings: list[Finding]
    rate_limit: str | None
    warning: str | None


WATCHED_PREFIX = "watch-"  # begins the ids of watched runs


class WatchedInfo(Strict):
    """Of a run that another server computed, and that `speculatoviz watch` recorded as it passed.

    `server`: its address without credentials. `engine`: what its answer shows it to be; null if nothing does. `status`:
    of its answer. `streamed`: whether the answer came in pieces. Pieces of text and their times are measured. What was
    drafted is known as sums of the whole answer at most, where the server reports them.
    """

    server: str
    route: str
    engine: str | None
    status: int
    streamed: bool


class UsageInfo(Strict):
    """What verification took of a remote target: requests, tokens as it bills them, bytes over the wire."""

    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    sent_bytes: int | None
    received_bytes: int | None
