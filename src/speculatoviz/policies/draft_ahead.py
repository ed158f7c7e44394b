"""Whether to draft the next round ahead while a remote target verifies this one.

Time decides here how much work is done early. It never decides which tokens are drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_FLIGHTS = 8  # rounds whose flight times are averaged
_PRIOR = 1  # right and wrong guesses assumed before the first one


class DraftAhead:
    """Estimates whether one more pass of the draft model pays during a flight. clock: seconds.

    With F the mean flight time, e the time since the submission, t the time of a pass and h the share of right guesses:
    the pass delays the next round by e + t - F, and saves t with probability h. It pays if e + t - F <= h t. The first
    guess of a round is that its whole draft is accepted, the second one names the likeliest rejection.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._flights_ms: deque[float] = deque(maxlen=_FLIGHTS)
        self._right, self._wrong = [_PRIOR, _PRIOR], [_PRIOR, _PRIOR]  # first and second guesses
        self._submitted_s = 0.0

    def submitted(self) -> None:
        """A draft was submitted now."""
        self._submitted_s = self._clock()

    def pays(self, pass_ms: float, guess: int = 0) -> bool:
        """Whether to begin one more pass, which takes about `pass_ms`. guess: 0 for the first one, 1 for the second."""
        if not self._flights_ms:
            return True
        elapsed_ms = (self._clock() - self._submitted_s) * 1000
        late_ms = elapsed_ms + pass_ms - sum(self._flights_ms) / len(self._flights_ms)
        return late_ms <= pass_ms * self._right[guess] / (self._right[guess] + self._wrong[guess])

    def answered(self, flight_ms: float) -> None:
        """The verdict came `flight_ms` after the submission."""
        self._flights_ms.append(flight_ms)

    def guessed(self, right: bool, guess: int = 0) -> None:
        """The guess that a round was drafted on turned out right or wrong."""
        self._right[guess] += right
        self._wrong[guess] += not right
