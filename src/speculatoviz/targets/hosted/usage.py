"""What calls to an endpoint use: tokens, bytes, and the endpoint's own time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from speculatoviz.core.rounds import Usage
from speculatoviz.targets.hosted.answers import Body

B = TypeVar("B", bound=Body)
B_co = TypeVar("B_co", bound=Body, covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[B_co]):
    """The answer to one call. server_ms: the endpoint's own time in milliseconds; None if it does not report it."""

    body: B_co
    usage: Usage
    server_ms: float | None


@dataclass(slots=True)
class CallUsage:
    """The sums over the calls of one verification. server_ms is None as soon as one call did not report its time."""

    total: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0, 0, 0))
    server_ms: float | None = 0.0

    def add(self, answers: Iterable[Answer[Body]]) -> None:
        """Add calls that were made at the same time: together they take the time of the slowest."""
        times_ms = list[float | None]()
        for answer in answers:
            self.total += answer.usage
            times_ms.append(answer.server_ms)
        known_ms = [time_ms for time_ms in times_ms if time_ms is not None]
        if self.server_ms is None or len(known_ms) < len(times_ms):
            self.server_ms = None
        else:
            self.server_ms += max(known_ms, default=0.0)
