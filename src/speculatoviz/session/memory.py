"""What a session keeps of its runs: baselines, contexts to measure at, text to match, greedy texts to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from speculatoviz.core.types import Request
from speculatoviz.measure.calibration import Calibration, RemoteCalibration
from speculatoviz.measure.plain import BASELINE_TOKENS
from speculatoviz.session.greedy_texts import GreedyText, GreedyTexts
from speculatoviz.telemetry.events import Done, Event, Metrics, Updated


class RunMemory:
    """Follows the events of runs. remember: called with the ids of each finished output."""

    def __init__(self, calibration: Calibration | RemoteCalibration, remember: Callable[[Sequence[int]], None]) -> None:
        self._calibration, self._remember = calibration, remember
        self._greedy_texts = GreedyTexts()

    def follow(self, events: Iterable[Event], request: Request, verified: bool) -> Iterator[Event]:
        """Pass on the events of a run. When it is done, keep what later runs use.

        verified: whether the target verifies drafts; only then a plain run is a baseline. `done` receives the position
        where a greedy text departs from that of the latest run of the other kind with the same prompt and penalties.
        """
        text, rows, greedy = GreedyText(), 1, request.sampling.greedy
        for event in text.follow(events):
            match event:
                case Metrics():
                    rows = max(rows, event.round_drafted + 1)
                case Updated():
                    greedy = greedy and event.sampling.temperature == 0.0
                case Done():
                    self._keep(event, request, rows, verified)
                    if greedy:
                        constraint = request.constraint
                        source = None if constraint is None else constraint.source
                        asked = (request.prompt, request.sampling.penalties, source)
                        departure = self._greedy_texts.add(asked, text, plain=event.metrics.drafted == 0)
                        if departure and (constraint or request.sampling.penalties.active):
                            departure = departure.model_copy(update={"margin": None})  # raw scores show no other one
                        event = event.model_copy(update={"departure": departure})  # noqa: PLW2901
            yield event

    def _keep(self, done: Done, request: Request, rows: int, verified: bool) -> None:
        values = done.metrics
        self._remember(done.token_ids)
        alone = values.shared_rounds == 0  # else its times are those of several runs
        plain = alone and values.plain == values.tokens >= BASELINE_TOKENS and values.drafted == 0
        masked = request.constraint is not None  # a mask takes time that other runs do not spend
        if verified and plain and not masked and values.overall_tps:
            self._calibration.record_plain_run(values.overall_tps, values.tokens, len(request.prompt))
        self._calibration.record_run([*request.prompt, *done.token_ids], rows)
