"""The requests of the API as the page lists them: which run is in which state, with its figures so far.

Prompts are kept by their first characters and sent only to a client that asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from speculatoviz.errors import SpeculatoVizError
from speculatoviz.lab.store.runs import PROMPT_CHARACTERS
from speculatoviz.lab.store.summary import RunFold, RunSummary
from speculatoviz.server.refused import Refused, RefusedRequests
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.telemetry.events import Done, Event, Metrics, ServerEvent, Started
from speculatoviz.telemetry.parts import Strict

MOST_LISTED = 200  # runs; those that go on are never left out
State = Literal["queued", "prefill", "decoding", "done", "cancelled", "failed", "unknown"]
_OVER: frozenset[State] = frozenset({"done", "cancelled", "failed"})


class TrafficRun(Strict):
    """A run of a request, as it is now.

    `created_ms`: when it was asked for, since 1970. `route`: of the request. `key`: the name of its key; null where no
    key is needed. `prompt`: the first 200 characters, if asked for. `place`: in the queue, 1 is next. `queue_ms`: its
    wait for the models. `most_runs`, `shared_rounds`: how many runs used the models at the same time, and in how many
    of its rounds others did. `summary`: settings and figures, null until the run has begun. `failure`: why it failed.
    `kept`: whether `/api/runs` has it. The state `unknown` is that of a watched run without news.
    """

    run: str
    created_ms: int
    route: str
    key: str | None
    prompt_tokens: int
    prompt: str | None
    state: State
    place: int | None
    queue_ms: float | None
    most_runs: int
    shared_rounds: int
    summary: RunSummary | None
    failure: str | None
    kept: bool


class TrafficNews(ServerEvent):
    """Runs of requests to the API that are new or have changed. whole: the list is complete, older runs are gone.

    refused: all groups of requests that were refused, the one that grew last at the end; null if they are as before.
    """

    type: Literal["traffic"] = "traffic"
    whole: bool
    runs: list[TrafficRun]
    refused: list[RefusedRequests] | None


def news(runs: Iterable[TrafficRun], refused: list[RefusedRequests] | None, *, whole: bool) -> TrafficNews:
    """The message with these runs."""
    return TrafficNews(run=None, seq=0, t_ms=0.0, whole=whole, runs=list(runs), refused=refused)


class Traffic:
    """The last runs of requests to the API. An observer of all runs; those that did not `begin` here are not listed.

    For use in one event loop. now: seconds since 1970. clock: seconds. kept: whether runs are recorded. most: runs in
    the list. refused: requests that became no runs, in a list of their own: many of them push no run out.
    """

    def __init__(self, now: Callable[[], float], clock: Callable[[], float], most: int = MOST_LISTED) -> None:
        self._now, self._clock, self.most = now, clock, most
        self.kept = False
        self.refused = Refused(now)
        self._runs: dict[str, TrafficRun] = {}  # the oldest first
        self._asked_s: dict[str, float] = {}  # of runs that go on
        self._folds: dict[str, RunFold] = {}  # of runs that go on and have begun
        self._changed: dict[str, None] = {}
        self.on_change: Callable[[], None] = lambda: None

    def begin(self, run: str, prepared: PreparedRun, route: str, key: str | None) -> None:
        """List a run that waits for the models from now on. `ended` has to follow."""
        self._asked_s[run] = self._clock()
        listed = TrafficRun(
            run=run,
            created_ms=round(1000 * self._now()),
            route=route,
            key=key,
            prompt_tokens=len(prepared.request.prompt),
            prompt=prepared.prompt[:PROMPT_CHARACTERS],
            state="queued",
            place=None,
            queue_ms=None,
            most_runs=1,
            shared_rounds=0,
            summary=None,
            failure=None,
            kept=False,
        )
        self.put(listed)

    def queued(self, run: str, place: int) -> None:
        """A run's place in the queue has changed."""
        self._change(run, place=place)

    def add(self, event: Event) -> None:
        """See an event of any run."""
        if event.run is None or (known := self._runs.get(event.run)) is None:
            return
        if isinstance(event, Started):
            self._folds[event.run] = RunFold(event)
        if (fold := self._folds.get(event.run)) is None:
            return
        fold.add(event)
        summary = fold.summary
        match event:
            case Started():
                queue_ms = 1000 * (self._clock() - self._asked_s.get(event.run, self._clock()))
                how = {"state": "prefill", "place": None, "queue_ms": queue_ms, "kept": self.kept}
                self._change(event.run, summary=summary, **how)
            case Metrics():
                most = max(known.most_runs, event.runs)
                shared = {"most_runs": most, "shared_rounds": event.shared_rounds}
                self._change(event.run, state="decoding", summary=summary, **shared)
            case Done():
                self._change(event.run, state=_end(event), summary=summary)

    def ended(self, run: str, error: BaseException | None) -> None:
        """A run is over. Without an end of its own it was given up, or it failed."""
        self._asked_s.pop(run, None)
        self._folds.pop(run, None)
        known = self._runs.get(run)
        if known is None or known.state in _OVER:
            return
        if error is None:
            self._change(run, state="cancelled", place=None)
        else:
            words = f"{error.message} {error.hint}" if isinstance(error, SpeculatoVizError) else "The run failed."
            self._change(run, state="failed", place=None, failure=words.strip())

    def runs(self) -> list[TrafficRun]:
        """The list, the oldest run first."""
        return list(self._runs.values())

    def take_changed(self) -> list[TrafficRun]:
        """The runs that changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._runs[run] for run in changed if run in self._runs]

    def put(self, listed: TrafficRun) -> None:
        """List a run, or replace what is known of it."""
        self._runs[listed.run] = listed
        self._changed[listed.run] = None
        if (surplus := len(self._runs) - self.most) > 0:
            over = [run for run, one in self._runs.items() if one.state in _OVER or one.state == "unknown"]
            for run in over[:surplus]:
                del self._runs[run]
                self._changed.pop(run, None)
        self.on_change()

    def _change(self, run: str, **fields: object) -> None:
        if (known := self._runs.get(run)) is not None:
            self.put(known.model_copy(update=fields))


def _end(done: Done) -> State:
    ends: dict[str, State] = {"cancelled": "cancelled", "error": "failed"}
    return ends.get(done.finish_reason, "done")


@dataclass(frozen=True, slots=True)
class Listing:
    """A run's place in the list. Fields as for `Traffic.begin`."""

    traffic: Traffic
    run: str
    route: str
    key: str | None

    def begin(self, prepared: PreparedRun) -> None:
        """The run waits for the models from now on."""
        self.traffic.begin(self.run, prepared, self.route, self.key)

    def queued(self, place: int) -> None:
        """Its place in the queue has changed."""
        self.traffic.queued(self.run, place)
