"""Counts over all runs of a server, whoever started them."""

from __future__ import annotations

from dataclasses import dataclass, field

from speculatoviz.config import RANGES
from speculatoviz.telemetry.events import Event, Metrics, Started


def _positions() -> list[int]:
    return [0] * int(RANGES["k"].maximum)


@dataclass(slots=True)
class Counters:
    """Add the events of every run. For use in one event loop.

    drafts: rounds with a draft. accepted_at[i]: drafts whose token at position i was emitted.
    """

    drafts: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    accepted_at: list[int] = field(default_factory=_positions)
    prompt_tokens: int = 0
    generation_tokens: int = 0

    def add(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Started():
                self.prompt_tokens += event.prompt_tokens
            case Metrics():
                self.generation_tokens += event.round_emitted
                self.drafts += event.round_drafted > 0
                self.draft_tokens += event.round_drafted
                self.accepted_tokens += event.round_accepted
                for position in range(min(event.round_accepted, len(self.accepted_at))):
                    self.accepted_at[position] += 1
