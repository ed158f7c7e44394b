"""The steps that the engine yields beside rounds: begin, change of settings, draft, end."""

from __future__ import annotations

from dataclasses import dataclass, field

from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Exactness, FinishReason, Sampling


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is computed and decoding starts."""

    exactness: Exactness


@dataclass(frozen=True, slots=True)
class Changed:
    """The settings from round `round` on, after an update."""

    round: int
    plan: Plan
    sampling: Sampling
    exactness: Exactness


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, before it is verified.

    warning: (what happened, what to do) if the drafter failed and the round is therefore plain; None as a rule.
    """

    round: int
    plan: Plan
    draft: Draft = field(repr=False)
    warning: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run. tail: text that was withheld because it could have been the beginning of a stop string."""

    finish_reason: FinishReason
    tail: str
