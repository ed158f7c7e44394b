"""A confident match if there is one, else the model (Oliaro et al. 2024, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft
from speculatoviz.drafters.base import CompositeDrafter, Drafter, Pays


class Matcher(Drafter, Protocol):
    """A drafter that estimates its own acceptance."""

    def confidence(self, prefix: list[int]) -> float:
        """About how many of its tokens after `prefix` it expects to be accepted; 0 without a match."""


class HybridDrafter(CompositeDrafter):
    """Drafts with the first matcher that expects at least `enough` accepted tokens, else with the fallback.

    Who drafts is decided before any token is drawn.
    """

    name = "hybrid"

    def __init__(self, matchers: Sequence[Matcher], fallback: Drafter, enough: float = 1.0) -> None:
        super().__init__([*matchers, fallback])
        self._matchers, self._fallback, self._enough = tuple(matchers), fallback, enough

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        for matcher in self._matchers:
            if matcher.confidence(prefix) >= self._enough:
                draft = matcher.draft(prefix, round, plan, chance)
                if len(draft):
                    return draft
        return self._fallback.draft(prefix, round, plan, chance)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        """The fallback drafts ahead. A match that takes its place later needs no time."""
        return self._fallback.prepare(prefix, round, plan, chance, pays)

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        return self._fallback.prepare_other(round, plan, chance, pays)
