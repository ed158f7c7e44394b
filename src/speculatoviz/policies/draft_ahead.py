"""Whether drafting ahead still pays while a verification is under way elsewhere.

Timings decide here how much work is done early, never which tokens are drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_FLIGHTS = 8  # rounds whose flights are remembered
_HOPE = 1  # guesses that held and that failed before any was made


class Foresight:
    """Expects a flight to take as long as the last ones, and a guess to hold as often as it did. clock: seconds.

    A pass that outlasts the flight delays the next round by what it outlasts it, and saves a pass where the guess
    holds: it pays while the first is less than that saving times the chance of it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._flights_ms: deque[float] = deque(maxlen=_FLIGHTS)
        self._held, self._failed = _HOPE, _HOPE
        self._begun_s = 0.0

    def begin(self) -> None:
        """A flight begins now."""
        self._begun_s = self._clock()

    def pays(self, pass_ms: float) -> bool:
        """Whether to begin one more pass of the draft model, which takes about so long."""
        if not self._flights_ms:
            return True
        elapsed_ms = (self._clock() - self._begun_s) * 1000
        late_ms = elapsed_ms + pass_ms - sum(self._flights_ms) / len(self._flights_ms)
        return late_ms <= pass_ms * self._held / (self._held + self._failed)

    def landed(self, flight_ms: float) -> None:
        self._flights_ms.append(flight_ms)

    def guessed(self, held: bool) -> None:
        """What became of a guess."""
        self._held, self._failed = self._held + held, self._failed + (not held)
