"""The answers of the HTTP endpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from speculatoviz.core.types import Label, Rule
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.parts import Baseline, ExactnessInfo, ModelInfo, NoiseFloor, PassTime, RemoteInfo, Strict


class Refusal(Strict):
    """An error below /api: what happened, and what to do about it."""

    code: str
    message: str
    hint: str


class Health(Strict):
    """`GET /api/health`. `progress` is the share of loading done, 0 to 1; null while it is unknown."""

    status: Literal["loading", "ready", "failed"]
    stage: str
    progress: float | None
    message: str | None
    hint: str | None
    version: str
    target_model: ModelInfo | None
    draft_model: ModelInfo | None
    target_loaded: bool
    draft_loaded: bool
    drafter: str
    default_k: int | None
    baseline: Baseline | None
    noise_floor: NoiseFloor | None
    exactness: ExactnessInfo | None
    remote: RemoteInfo | None = None
    batch_invariant: bool = False
    runs_waiting: int


class RangeInfo(Strict):
    """The allowed values of a setting, ends included, and the step of its slider."""

    min: float
    max: float
    step: float
    help: str


class DrafterInfo(Strict):
    """A drafter. `reason`: why it cannot be used, and what to do about it; null if it is available."""

    name: str
    title: str
    help: str
    paper: str
    trees: bool
    available: bool
    reason: str | None


class RuleInfo(Strict):
    """A verification rule. `label`: its exactness label. `trees`: whether it verifies trees as well as chains."""

    name: Rule
    title: str
    help: str
    label: Label
    trees: bool


class ProfileInfo(Strict):
    """A profile: a target with the draft model and the drafter that suit it. `draft`: null without a draft model."""

    name: str
    title: str
    target: str
    draft: str | None
    drafter: str


class RaceTargetInfo(Strict):
    """A target that a start message can name. `drafters`: those that it has for certain. `reason`: why it cannot be
    loaded, and what to do about it; null if its files are here."""

    name: str
    title: str
    drafters: list[str]
    reason: str | None


class SettingsInfo(Strict):
    """`GET /api/settings`: the ranges and choices of the page's form, and its defaults.

    `auto_drafters`: what the policy `auto` chooses from in a run that names no drafter. `prediction_drafters`: those
    that read a predicted output; the first one drafts if a run with a prediction names none. `race_targets`: other
    targets than the server's own.
    """

    ranges: dict[str, RangeInfo]
    defaults: dict[str, float | int | str | None]
    profiles: list[ProfileInfo]
    profile: str
    drafters: list[DrafterInfo]
    auto_drafters: list[str]
    prediction_drafters: list[str]
    rules: list[RuleInfo]
    pass_times: list[PassTime]
    race_targets: list[RaceTargetInfo]


class DraftedToken(Strict):
    """A drafted token, with q of the token and the time that drafting it took."""

    token: str
    token_id: int
    draft_prob: float
    draft_time_ms: float


class TestDraft(Strict):
    """`POST /api/test-draft`: a few tokens drafted, nothing verified. `tps`: drafted tokens per second."""

    drafter: str
    prompt: str
    tokens: list[DraftedToken]
    draft_ms: float
    tps: float | None


class AloneRequest(Strict):
    """`POST /api/draft-alone`: what the drafter of a run writes on its own after a part of the run's output.

    `run`: the message that would begin the run again. `prompt_digest`: as the run reported it. `output_ids`: the output
    up to the token to continue from, and that token. `most`: tokens to write.
    """

    run: Start
    prompt_digest: str = Field(max_length=64)
    output_ids: list[int]
    most: Annotated[int, Field(ge=1, le=256)] = 48


class AloneText(Strict):
    """The drafter's own text: no target verified it, and it is no part of the run. `ended`: with an end token."""

    drafter: str
    model: str | None
    tokens: list[DraftedToken]
    text: str
    ended: bool
    draft_ms: float
