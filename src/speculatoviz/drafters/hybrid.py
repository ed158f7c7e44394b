"""A match where there is a confident one, else the model: a chain of fallbacks (Oliaro et al. 2024, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import Draft, Need, Plan, Request, Round
from speculatoviz.drafters.base import Drafter


class Matching(Drafter, Protocol):
    """A drafter that knows how far it would trust itself."""

    def confidence(self, prefix: list[int]) -> float:
        """About how many tokens behind `prefix` it expects to get right; 0 without a match."""


class HybridDrafter:
    """Asks its matchers in order and drafts with the first that expects `enough` tokens, else with the last resort.

    Who drafts is settled before any token is drawn.
    """

    name = "hybrid"

    def __init__(self, matchers: Sequence[Matching], fallback: Drafter, enough: float = 1.0) -> None:
        self._matchers, self._fallback, self._enough = list(matchers), fallback, enough

    @property
    def needs(self) -> frozenset[Need]:
        return self._fallback.needs.union(*(matcher.needs for matcher in self._matchers))

    def begin(self, request: Request) -> None:
        for member in (*self._matchers, self._fallback):
            member.begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        for matcher in self._matchers:
            if matcher.confidence(prefix) >= self._enough:
                draft = matcher.draft(prefix, round, plan, chance)
                if len(draft):
                    return draft
        return self._fallback.draft(prefix, round, plan, chance)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        """The model's next draft; where a match takes its place, looking that up takes no time."""
        return self._fallback.prepare(prefix, round, plan, chance, pays)

    def observe(self, round: Round) -> None:
        for member in (*self._matchers, self._fallback):
            member.observe(round)

    def close(self) -> None:
        """The members belong to whoever made them."""
