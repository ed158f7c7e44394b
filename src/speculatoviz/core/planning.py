"""What is known before a draft, and what a policy decides from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a drafter knows of its next draft before it computes anything for it.

    tokens: the path that it would most probably draft; empty if it has to compute first. certainties[i]: its own
    estimate of the probability that tokens[i] is accepted if the tokens before it are. longest: the most tokens that
    it can draft after this prefix; None for any number. missing: committed tokens that its model has not read yet.
    stops: whether it asks the plan's stop rule while it drafts. branches: whether it can add siblings to a chain.
    block: the tokens of a path that one of its passes computes; 1 if each token needs a pass.
    """

    tokens: tuple[int, ...] = ()
    certainties: tuple[float, ...] = ()
    longest: int | None = None
    missing: int = 0
    stops: bool = False
    branches: bool = False
    block: int = 1


class StopRule(Protocol):
    """Ends a draft early. Every decision is made before the token that it is about is drawn (the first law).

    certainties[i]: of the i-th drafted token, known before that token was drawn: the largest probability of the
    drafter's own distribution there. It estimates the probability that the token is accepted.
    """

    def computes_another(self, certainties: Sequence[float]) -> bool:
        """Whether one more pass of the drafter pays, after a path of these tokens."""

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        """Whether a token of this certainty pays after that path. Its pass is computed, and it is not drawn yet."""


class Forecast(NamedTuple):
    """What a round is expected to give that drafts `depth` tokens with `drafter`; depth 0 is plain decoding.

    tokens: the expected number of emitted tokens. round_ms: the expected time. siblings: drafted tokens beside the
    chain of `depth`.
    """

    drafter: str
    depth: int
    tokens: float
    round_ms: float
    siblings: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a policy planned a round as it did.

    chosen: the plan. others: the best of every other drafter, and plain decoding. plain_ms: one plain pass now.
    explored: whether the plan was not the best by the estimates, but is tried because they may be out of date.
    """

    chosen: Forecast
    others: tuple[Forecast, ...]
    plain_ms: float
    explored: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy decides for a round.

    depth: the longest path that the draft may have, 0 for no draft. nodes: the largest number of tokens of the draft;
    more than `depth` asks for a tree. room: the tokens, probes included, that fit into the target's pass and context;
    None for any number. stop: may end the draft before it has `depth` tokens. reason: None if the plan is fixed.
    """

    drafter: str
    depth: int
    nodes: int = 0
    room: int | None = None
    stop: StopRule | None = field(default=None, compare=False, repr=False)
    reason: Reason | None = field(default=None, compare=False, repr=False)

    @property
    def spare(self) -> int:
        """How many nodes a tree may have beyond a chain of full depth."""
        return max(0, self.nodes - self.depth)
