"""Why the drafted tokens of a run were rejected, as the page, the trace and the command line show it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from speculatoviz.core.token_classes import TokenClass
from speculatoviz.telemetry.parts import Strict

Cause = Literal["irreducible", "position", "depth", "vocabulary", "filters", "greedy", "rule", "unknown"]
CAUSES: tuple[Cause, ...] = get_args(Cause)


class RejectedToken(Strict):
    """One rejected token, as an example.

    before: the end of the text before it. drafted: the token. chosen: what the text has in its place, null if the run
    ended there. share: of its rejection that the cause explains; above 1 if another cause saved rejections.
    """

    run: str | None
    round: int
    node: int
    position: int
    before: str
    drafted: str
    chosen: str | None
    draft_prob: float | None
    target_prob: float | None
    share: float


class CauseShare(Strict):
    """One cause, over all rounds. docs/autopsy.md gives the formulas.

    tokens: rejected tokens that this cause explains more of than any other. rejections, expected: its part of the
    measured and of the expected rejections. share: expected / the sum over the causes; negative for a cause that saved
    rejections. low, high: bootstrap interval of the share, null for too few rounds. gain: tokens a round more without
    this cause, by the acceptance of each position; null where it is not computed.
    """

    cause: Cause
    tokens: int
    rejections: float
    expected: float
    share: float | None
    low: float | None
    high: float | None
    remedy: str = Field(description="what would help, one sentence")
    gain: float | None
    examples: list[RejectedToken]


class ShorterDraft(Strict):
    """The most tokens of a chain that would have been faster, by the measured times of drafted tokens and of passes.

    A pass whose time was not measured is taken to last as long as that of the whole draft. drafted: the most tokens of
    a draft of the run.
    """

    depth: int
    tps: float
    drafted: int
    measured_tps: float


class ClassShare(Strict):
    """Tested tokens at places of one kind: the class of the token that the text has there.

    rejected: of them. expected: the sum of their probabilities of rejection.
    """

    token_class: TokenClass
    tested: int
    rejected: int
    expected: float


class Autopsy(Strict):
    """The rejections of a run by cause.

    tested, rejected: drafted tokens. expected: the sum over the tested tokens of the probability of rejection; the
    causes' `expected` add up to it, and their `rejections` to `rejected`. level: of the intervals. missing: what the
    run lacks for a complete answer, in sentences.
    """

    rounds: int
    tested: int
    rejected: int
    expected: float
    level: float
    tokens_per_round: float | None
    causes: list[CauseShare]
    classes: list[ClassShare] = Field(
        default_factory=list, description="by the class of the text's token, most tested tokens first"
    )
    shorter: ShorterDraft | None
    missing: list[str]
