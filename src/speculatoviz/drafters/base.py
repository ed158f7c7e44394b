"""What a drafter is. The two laws of drafting stand with `core.types.Draft`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import Draft, Need, Plan, Request, Round


class Drafter(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> frozenset[Need]:
        """What it wants of the target beyond verdicts; a target that cannot give it refuses in words."""

    def begin(self, request: Request) -> None:
        """Get ready to continue `request.prompt`. Raises CancelledError between chunks of its prefill."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        """Propose up to plan.depth tokens behind `prefix`, stopping at an end token; an empty draft is allowed.

        Raises CancelledError between forward passes once the request is cancelled.
        """

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        """Draft ahead the round that follows if `prefix` and one more token are committed; whether it drafted any.

        pays: asked before every pass, given about how many milliseconds it takes. Guesses the one more token. `draft`
        takes the work up where the guess held and drops it where it failed: no token changes by it. A drafter that
        drafts in no time need not do anything.
        """

    def observe(self, round: Round) -> None:
        """Learn from a finished round."""

    def close(self) -> None: ...
