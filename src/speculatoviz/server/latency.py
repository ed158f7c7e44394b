"""How long runs wait and take, as histograms over all runs of a server."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from speculatoviz.telemetry.events import Done, Metrics, Started

# Upper bounds in seconds, those of vLLM's histograms.
_FIRST = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_BETWEEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_WHOLE = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)


class Histogram:
    """Counts of values by upper bounds. bounds: ascending; one more bucket has what is above the last."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value. One that equals a bound is in the bucket of that bound."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def cumulative(self) -> list[int]:
        """For each bound, and for infinity, how many values are not above it."""
        return list(accumulate(self._counts))


@dataclass(slots=True)
class Latencies:
    """Histograms of seconds.

    queue: from a run's request to its turn on the models. first: to its first tokens. between: from one round's tokens
    to the next round's. per_token: of a finished run, after its first tokens, the mean for a token. whole: from its
    request to its end.
    """

    queue: Histogram = field(default_factory=lambda: Histogram(_WHOLE))
    first: Histogram = field(default_factory=lambda: Histogram(_FIRST))
    between: Histogram = field(default_factory=lambda: Histogram(_BETWEEN))
    per_token: Histogram = field(default_factory=lambda: Histogram(_BETWEEN))
    whole: Histogram = field(default_factory=lambda: Histogram(_WHOLE))


class RunTimes:
    """Reads the times of one run from its events, so that slow readers do not enter them. queue_s: what it waited."""

    def __init__(self, latencies: Latencies, queue_s: float) -> None:
        self._latencies, self._queue_s = latencies, queue_s
        self._first_ms: float | None = None
        self._last_ms = 0.0
        self._later_tokens = 0  # after those of the first round

    def add(self, item: object) -> None:
        """Add an event of the run; anything else is ignored."""
        match item:
            case Started():
                self._latencies.queue.observe(self._queue_s)
            case Metrics() if item.round_emitted:
                self._tokens(item.t_ms, item.round_emitted)
            case Done() if item.finish_reason not in {"cancelled", "error"}:
                self._end(item.t_ms)

    def _tokens(self, t_ms: float, count: int) -> None:
        if self._first_ms is None:
            self._first_ms = t_ms
            self._latencies.first.observe(self._queue_s + t_ms / 1000)
        else:
            self._latencies.between.observe((t_ms - self._last_ms) / 1000)
            self._later_tokens += count
        self._last_ms = t_ms

    def _end(self, t_ms: float) -> None:
        self._latencies.whole.observe(self._queue_s + t_ms / 1000)
        if self._first_ms is not None and self._later_tokens:
            self._latencies.per_token.observe((self._last_ms - self._first_ms) / 1000 / self._later_tokens)
