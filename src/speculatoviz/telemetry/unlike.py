"""Whether the passes of a run and those of its baseline took as long as each other.

Where they did not, their rates cannot be compared: something else used the processor during one of the two. The page
applies the same rule (frontend/src/run/unlike.ts). Runs that were measured in turn need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from speculatoviz.telemetry.events import Event, Metrics, Started
from speculatoviz.telemetry.parts import Baseline

# Single runs on a machine that is not loaded differ by tens of percent, and passes become slower as the text grows.
# From this factor on the time of a pass decides the speedup, not the drafts.
UNLIKE = 1.5
_LEAST_DIFFERENCE_MS = 2.0  # shorter ones are the clock's and the program's own
_LEAST_PASSES = 4  # a median of fewer is chance
_LONGER_TOKENS = 512  # from so many more tokens of context on, the longer text can be the cause


class UnlikePasses(NamedTuple):
    """Passes over `rows` tokens that took clearly longer, or clearly shorter, than the baseline's.

    run_ms: the median in the run. baseline_ms: for one row the baseline's time per token, for more their measured time
    at the speed of the baseline. context_tokens: at the end of the run, if the text can be the cause; else None.
    """

    rows: int
    run_ms: float
    baseline_ms: float
    context_tokens: int | None

    def __str__(self) -> str:
        """The two times and what follows from them, in one sentence."""
        one = self.rows == 1
        passes = "A pass of one token" if one else f"A pass over {self.rows} tokens"
        when = "when the baseline was measured" if one else "at the speed of the baseline"
        cause = "something else used the processor"
        if self.run_ms < self.baseline_ms:
            cause += " then"
        elif self.context_tokens is not None:
            cause += f", or the text, of {self.context_tokens} tokens, is the cause"
        times = f"{_ms(self.run_ms)} in this run and {_ms(self.baseline_ms)} {when}"
        return f"{passes} took {times}: {cause}, so the two cannot be compared."


class BaselineCheck:
    """A fold over the events of a run. Asked at any time, it compares what it has seen with the baseline."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._passes: list[tuple[int, float, int]] = []  # of every round: rows, ms, and runs that used the models
        self._tokens = 0

    def add(self, event: Event) -> None:
        """See an event of the run."""
        match event:
            case Started():
                self._started, self._passes, self._tokens = event, [], 0
            case Metrics():
                self._passes.append((event.round_drafted + 1, event.verify_ms, event.runs))
                self._tokens = event.tokens

    def unlike(self, last: int | None = None) -> UnlikePasses | None:
        """None where run and baseline are alike, or where that is not known.

        It is not known without a baseline, for too few rounds of this run alone, for a remote target and a run of
        another server, and for drafts of sizes that no measured pass time has. last: of so many rounds only.
        """
        started = self._started
        if started is None or started.baseline is None or started.remote or started.watched:
            return None
        alone = [(rows, ms) for rows, ms, runs in self._passes[-(last or 0) :] if runs == 1]
        plain_ms, measured = 1000 / started.baseline.tps, {one.tokens: one.ms for one in started.pass_times}
        if single := _usual(alone, lambda rows: rows == 1):
            return self._compared(started, started.baseline, single, plain_ms)
        found, fastest_ms = _usual(alone, measured.__contains__), measured.get(1, 0.0)
        if found is None or fastest_ms <= 0:
            return None
        # The table has the fastest pass ever measured. The baseline took longer than that by its own load.
        expected_ms = measured[found[0]] * max(1.0, plain_ms / fastest_ms)
        unlike = self._compared(started, started.baseline, found, expected_ms)
        # Load slows down passes of one row most, so that a factor from them is too large for longer passes: a baseline
        # that was measured under the load of its run may only look slower. One from the server's start was not.
        is_slower = unlike is not None and unlike.run_ms > unlike.baseline_ms
        return unlike if is_slower or started.baseline.kind == "startup" else None

    def _compared(
        self, started: Started, baseline: Baseline, found: tuple[int, Sequence[float]], baseline_ms: float
    ) -> UnlikePasses | None:
        rows, times = found
        run_ms = median(times)
        less, more = sorted((run_ms, baseline_ms))
        if more < UNLIKE * less or more - less < _LEAST_DIFFERENCE_MS:
            return None
        if run_ms < baseline_ms:
            return UnlikePasses(rows, run_ms, baseline_ms, None)
        context = started.prompt_tokens + self._tokens
        longer = context > baseline.context_tokens + _LONGER_TOKENS
        return UnlikePasses(rows, run_ms, baseline_ms, context if longer else None)


def _usual(passes: Sequence[tuple[int, float]], known: Callable[[int], bool]) -> tuple[int, Sequence[float]] | None:
    """The number of rows that most passes had, of those that are known and frequent, with their times."""
    by_rows: dict[int, list[float]] = {}
    for rows, ms in passes:
        if known(rows):
            by_rows.setdefault(rows, []).append(ms)
    return max(
        (one for one in by_rows.items() if len(one[1]) >= _LEAST_PASSES), key=lambda one: len(one[1]), default=None
    )


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"
