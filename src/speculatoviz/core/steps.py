"""What the engine yields between rounds: how a run begins, changes and ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from speculatoviz.core.types import Draft, Exactness, FinishReason, Plan, Sampling


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is in place and decoding starts."""

    exactness: Exactness


@dataclass(frozen=True, slots=True)
class Changed:
    """What the next round and those after it run under, after an update."""

    round: int
    plan: Plan
    sampling: Sampling
    exactness: Exactness


@dataclass(frozen=True, slots=True)
class Drafted:
    """Yielded before a draft is verified."""

    round: int
    plan: Plan
    draft: Draft = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word of a run; `tail` is text that was withheld until the end decided it."""

    finish_reason: FinishReason
    tail: str
