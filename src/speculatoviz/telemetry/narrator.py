"""From the engine's steps to the events of a run, in order, numbered and stamped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Changed, Drafted, Ended
from speculatoviz.engine import Step
from speculatoviz.models.base import Tokenizer
from speculatoviz.telemetry.events import Event, Shadow, ShadowGuess
from speculatoviz.telemetry.mapping import (
    Stamp,
    TokenNames,
    done_event,
    draft_tokens,
    metrics_event,
    updated_event,
    verify_results,
    warning_event,
)
from speculatoviz.telemetry.metrics import MetricsFold
from speculatoviz.telemetry.record import NotRecorded, Recorded, record_event
from speculatoviz.telemetry.shadow import Shadowed, ShadowFold, closest


class Narrator:
    """Makes the events of one run. The run begins when the narrator is made.

    baseline_tps, per_call_tps: tokens per second of the target alone, for the speedups; None where not measured.
    clock: seconds.
    """

    def __init__(
        self,
        run: str,
        tokenizer: Tokenizer,
        baseline_tps: float | None,
        clock: Callable[[], float],
        per_call_tps: float | None = None,
    ) -> None:
        self.run, self._names, self._clock = run, TokenNames(tokenizer), clock
        self._begun_s = clock()
        self._seq = 0
        self.metrics = MetricsFold(baseline_tps, per_call_tps=per_call_tps)
        self.token_ids: list[int] = []
        self._texts: list[str] = []
        self._shadows = ShadowFold()

    def stamp(self) -> Stamp:
        """The stamp of the next event."""
        self._seq += 1
        return Stamp(self.run, self._seq, self.elapsed_ms())

    def elapsed_ms(self) -> float:
        """Milliseconds since the run began."""
        return (self._clock() - self._begun_s) * 1000

    def events(self, steps: Iterable[Step | Shadowed | Recorded | NotRecorded]) -> Iterator[Event]:
        """The events of the steps, each as soon as its step is there."""
        for step in steps:
            match step:
                case Drafted():
                    if step.warning is not None:
                        yield warning_event(self.stamp(), step.round, step.warning)
                    yield from draft_tokens(self.stamp, step, self._names)
                case Round():
                    yield from self._round(step)
                case Changed():
                    yield updated_event(self.stamp(), step)
                case Shadowed():
                    yield self._shadowed(step)
                case Recorded():
                    yield record_event(self.stamp(), step, self._names)
                case NotRecorded():
                    yield warning_event(self.stamp(), step.round, (step.message, step.hint))
                case Ended():
                    values = self.metrics.values(whole=True)
                    yield done_event(self.stamp(), step, "".join(self._texts), self.token_ids, values)

    def _round(self, round: Round) -> Iterator[Event]:
        if self.metrics.ttft_ms is None:
            self.metrics.ttft_ms = self.elapsed_ms()
        self.metrics.add(round)
        self.token_ids += round.emitted
        self._texts += round.texts
        yield from verify_results(self.stamp, round, self._names)
        yield metrics_event(self.stamp(), round, self.metrics.values())

    def _shadowed(self, step: Shadowed) -> Shadow:
        self._shadows.add(step)
        guesses = [
            ShadowGuess(
                drafter=guess.drafter,
                tokens=[self._names.of(int(guess.draft.tokens[node])) for node in closest(guess)],
                drafted=len(guess.draft),
                matched=len(guess.path),
            )
            for guess in step.guesses
        ]
        run, seq, t_ms = self.stamp()
        return Shadow(run=run, seq=seq, t_ms=t_ms, round=step.round, guesses=guesses, scores=self._shadows.scores())
