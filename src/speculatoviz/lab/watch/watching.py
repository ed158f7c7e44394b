"""Watches one server: its counters by the second, and the requests that pass a proxy on the way to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import httpx2

from speculatoviz.errors import BadRequestError, SpeculatoVizError, TargetError
from speculatoviz.lab.engines.fetching import Bounds, fetched
from speculatoviz.lab.watch.exchanges import Answered, Asked, ExchangeTap
from speculatoviz.lab.watch.intervals import Interval, Look, between, look
from speculatoviz.lab.watch.narration import WatchedRun
from speculatoviz.lab.watch.relay import Relay
from speculatoviz.lab.watch.requests import wanted
from speculatoviz.targets.hosted.address import Credentials
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.parts import WATCHED_PREFIX

_FETCH = Bounds(total_s=5.0)
MOST_SHOWN = 12  # intervals, and requests


class Observer(Protocol):
    """Takes what is seen. Methods are called in one event loop and must not wait."""

    def listening(self, port: int) -> None:
        """The proxy listens."""

    def interval(self, interval: Interval) -> None:
        """The time since the last look is over."""

    def unseen(self, error: SpeculatoVizError) -> None:
        """The counters could not be read."""

    def event(self, run: WatchedRun, event: Event) -> None:
        """An event of a request that passes."""


@dataclass(slots=True)
class Watching:
    """The state that a view shows. url: of /metrics. clock: seconds. draw_id: returns the id of a run.

    intervals: the last ones. runs: those that go on, and the last that ended.
    """

    url: httpx2.URL
    credentials: Credentials | None
    observers: Sequence[Observer]
    clock: Callable[[], float]
    draw_id: Callable[[], str]
    transport: httpx2.AsyncBaseTransport | None = None
    intervals: deque[Interval] = field(default_factory=lambda: deque(maxlen=MOST_SHOWN))
    runs: list[WatchedRun] = field(default_factory=list)
    requests: int = 0
    _last: Look | None = None

    @property
    def server(self) -> str:
        """The address as it is shown: without credentials, path and query."""
        return f"{self.url.scheme}://{self.url.netloc.decode()}"

    async def look(self) -> Interval | None:
        """Read the counters; the interval since the last look, None at the first one. Raises TargetError and
        BadRequestError if that is not possible.
        """
        found = look(await fetched(self.url, self.credentials, _FETCH, self.transport), self.clock())
        last, self._last = self._last, found
        if last is None:
            return None
        interval = between(last, found)
        self.intervals.append(interval)
        return interval

    async def look_again(self, interval_s: float, count: int) -> None:
        """Look every `interval_s` seconds, `count` times; 0 is without end. What fails is told, and tried again."""
        for _ in itertools.count() if count == 0 else range(count):
            await asyncio.sleep(interval_s)
            try:
                interval = await self.look()
            except (TargetError, BadRequestError) as error:
                for observer in self.observers:
                    observer.unseen(error)
                continue
            if interval is not None:
                for observer in self.observers:
                    observer.interval(interval)

    @contextlib.asynccontextmanager
    async def proxy(self, port: int) -> AsyncIterator[int]:
        """Forward clients of this machine to the server, and see what passes. Yields the port.

        Raises OSError if the port cannot be used, and BadRequestError for a server behind TLS.
        """
        if self.url.scheme != "http":
            raise BadRequestError(
                "The proxy changes no byte, so it cannot speak TLS in place of a client.",
                "Name an address with http://, such as that of the engine behind the TLS proxy.",
            )
        relay = Relay(self.url.host, self.url.port or 80, lambda: ExchangeTap(self._begin, self.clock))
        async with relay.listening("127.0.0.1", port) as chosen:
            for observer in self.observers:
                observer.listening(chosen)
            yield chosen

    def _begin(self, asked: Asked) -> Answered | None:
        request = wanted(asked.method, asked.target, asked.body)
        if request is None:
            return None
        emit = partial(self._event, run_id := f"{WATCHED_PREFIX}{self.draw_id()}")
        engine = None if self._last is None else self._last.engine
        run = WatchedRun(run_id, self.server, request, asked.at_s, emit, engine)
        self.requests += 1
        over = [one for one in self.runs if one.over]
        for one in over[: max(0, len(self.runs) + 1 - MOST_SHOWN)]:
            self.runs.remove(one)
        self.runs.append(run)
        return run

    def _event(self, run_id: str, event: Event) -> None:
        run = next(run for run in self.runs if run.run == run_id)
        for observer in self.observers:
            observer.event(run, event)
