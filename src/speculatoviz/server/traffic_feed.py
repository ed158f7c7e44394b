"""Sends the list of requests to every client that follows it, a few times a second and only what has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from speculatoviz.errors import StoreError
from speculatoviz.lab.store.summary import RunSummary, StoredRun
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.traffic import State, Traffic, TrafficNews, TrafficRun, news
from speculatoviz.telemetry.parts import WATCHED_PREFIX

TICK_S = 0.25  # between two messages to the same client
_LOOK_S = 1.0  # between two looks for watched runs in the store
_MOST_WATCHED = 50
_SILENT_S = 120.0  # a watched run without news for so long may have no end any more

log = logging.getLogger(__name__)
Put = Callable[[TrafficNews], None]


class TrafficFeed:
    """The clients that follow the traffic. For use in one event loop.

    Runs that `speculatoviz watch` records into the same store are listed too. clock: seconds.
    """

    def __init__(self, traffic: Traffic, kept: KeptRuns, clock: Callable[[], float]) -> None:
        self._traffic, self._kept, self._clock = traffic, kept, clock
        self._followers: dict[Put, bool] = {}
        self._woken = asyncio.Event()
        self._watched = _Watched()
        self._looked_s = float("-inf")
        traffic.on_change = traffic.refused.on_change = self._woken.set

    def follow(self, put: Put, *, prompts: bool) -> Callable[[], None]:
        """Send the whole list now, and what changes later. Returns a function that ends this.

        put: must not wait. prompts: with the first characters of prompts.
        """
        self._followers[put] = prompts
        put(news(_shown(self._traffic.runs(), prompts), self._traffic.refused.groups(), whole=True))
        self._woken.set()

        def end() -> None:
            self._followers.pop(put, None)

        return end

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send until the end of the block."""
        task = asyncio.create_task(self._send())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _send(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if self._followers else None):
                    await self._woken.wait()
            self._woken.clear()
            if self._followers:
                await self._look_for_watched()
            changed = self._traffic.take_changed()
            refused = self._traffic.refused.take_changed()
            for prompts in {*self._followers.values()} if changed or refused is not None else ():
                message = news(_shown(changed, prompts), refused, whole=False)
                for put in [put for put, asked in self._followers.items() if asked is prompts]:
                    put(message)
            await asyncio.sleep(TICK_S)

    async def _look_for_watched(self) -> None:
        now_s = self._clock()
        if self._kept.store is None or now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        try:
            found = await self._kept.read(lambda store: store.newest(WATCHED_PREFIX, _MOST_WATCHED))
        except StoreError as error:
            log.debug("watched runs cannot be listed: %s", error)
            return
        for listed in self._watched.changed(found, now_s):
            self._traffic.put(listed)


@dataclass(slots=True)
class _Watched:
    """What the store had at the last look. _news: by run, its summary, when that came, and the state that was told."""

    _news: dict[str, tuple[RunSummary, float, State]] = field(default_factory=dict)

    def changed(self, found: list[StoredRun], now_s: float) -> list[TrafficRun]:
        """The runs with another summary or another state than at the last look, the oldest first."""
        known, self._news = self._news, {}
        changed = []
        for stored in reversed(found):
            summary, since_s, told = known.get(stored.id, (None, now_s, None))
            if summary != stored.summary:
                since_s = now_s
            state = _state(stored.summary, now_s - since_s)
            self._news[stored.id] = (stored.summary, since_s, state)
            if summary != stored.summary or told != state:
                changed.append(_listed(stored, state))
        return changed


def _state(summary: RunSummary, silent_s: float) -> State:
    match summary.ended:
        case None:
            return "unknown" if silent_s > _SILENT_S else "decoding" if summary.tokens else "prefill"
        case "cancelled":
            return "cancelled"
        case "error":
            return "failed"
    return "done"


def _listed(stored: StoredRun, state: State) -> TrafficRun:
    watched = stored.summary.watched
    return TrafficRun(
        run=stored.id,
        created_ms=stored.created_ms,
        route="" if watched is None else watched.route,
        key=None,
        prompt_tokens=stored.summary.prompt_tokens,
        prompt=stored.prompt,
        state=state,
        place=None,
        queue_ms=None,
        most_runs=1,
        shared_rounds=0,
        summary=stored.summary,
        failure=stored.summary.failure,
        kept=True,
    )


def _shown(runs: list[TrafficRun], prompts: bool) -> list[TrafficRun]:
    return runs if prompts else [run.model_copy(update={"prompt": None}) for run in runs]
