"""One run of a page's socket, from its start message to `done` or `error`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

from speculatoviz.engine import Change
from speculatoviz.errors import BadRequestError, SpeculatoVizError, reason_of
from speculatoviz.server.counters import Counters
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.outbox import Outbox
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Event, Failure, Loading, Queued
from speculatoviz.telemetry.messages import Start, Update

log = logging.getLogger(__name__)


class SocketRun:
    """Prepares a run, waits for the models, and puts its events into the outbox.

    client: what other targets stay loaded for. previous: the run before it on the same socket; this one begins once
    that one has released the models and its events were sent.
    """

    def __init__(
        self,
        outbox: Outbox,
        host: ModelHost,
        kept: KeptRuns,
        start: Start,
        client: object,
        previous: SocketRun | None = None,
    ) -> None:
        self.id = secrets.token_hex(6)
        self._outbox, self._host, self._kept, self._client = outbox, host, kept, client
        self._other: Session | None = None
        self._changes = PendingChanges()
        self._cancelled = threading.Event()
        self._began = False
        self._over = False
        self._task = asyncio.create_task(self._guarded(start, previous))

    @property
    def active(self) -> bool:
        """Until its last event is in the outbox: a client may answer that event with the next start."""
        return not self._over

    @property
    def settled(self) -> bool:
        """Whether the models are released and all events were sent."""
        return self._task.done()

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call a function once the run is settled."""
        self._task.add_done_callback(lambda _: call())

    async def settle(self) -> None:
        """Wait until the run is settled."""
        await asyncio.wait([self._task])

    def update(self, update: Update) -> None:
        """Change the run from its next round on. Raises BadRequestError for an unknown drafter."""
        if update.drafter is not None:
            (self._other or self._host.ready()).check_drafter(update.drafter)
        self._changes.add(update)

    def cancel(self) -> None:
        """Stop after the pass in progress. A run that is not yet computing ends at once."""
        self._cancelled.set()
        if not self._began:
            self._task.cancel()
            gone = BadRequestError("The run was cancelled while it waited.", "Start it again when you like.")
            self._put(failure(gone, self.id, code="cancelled"))

    async def abandon(self) -> None:
        """Stop; nobody reads the events any more."""
        self._cancelled.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _guarded(self, start: Start, previous: SocketRun | None) -> None:
        try:
            if previous is not None:
                await previous.settle()
            await self._execute(start)
        except SpeculatoVizError as error:
            self._put(failure(error, self.id))
        except Exception as error:
            log.exception("a run failed", extra={"run": self.id})
            wrapped = SpeculatoVizError(
                f"The run failed ({reason_of(error)}).", "See the server's log; the models are kept."
            )
            self._put(failure(wrapped, self.id))
        await self._outbox.flushed()

    async def _execute(self, start: Start) -> None:
        session = self._host.ready()
        self._host.check_busy()
        if start.target is not None:
            await self._execute_elsewhere(start, start.target)
            return
        prepared = await self._host.prepare(lambda: session.prepare(start))
        events = self._host.stream(
            lambda place: session.run(self.id, prepared, self._cancelled.is_set, self._changes.take, place),
            self._report_place,
            self._cancelled,
            prepared.request.prompt,
        )
        with self._kept.ending(self.id):
            await self._deliver(events, self._host.counters)

    async def _execute_elsewhere(self, start: Start, name: str) -> None:
        """Run with another target. The counters, which are of the server's own, leave it out."""
        target = self._host.others.find(name)
        self._host.others.hold(target, self._client)

        def items(session: Session) -> Iterator[Event]:
            self._other = session
            prepared = session.prepare(start.model_copy(update={"target": None}))
            yield from session.run(self.id, prepared, self._cancelled.is_set, self._changes.take)

        def on_loading(stage: str, share: float | None, elapsed_s: float) -> None:
            self._put(
                Loading(run=self.id, seq=0, t_ms=0.0, target=name, stage=stage, progress=share, elapsed_s=elapsed_s)
            )

        events = self._host.stream_other(target, items, self._report_place, on_loading, self._cancelled)
        with self._kept.ending(self.id):
            await self._deliver(events)

    async def _deliver(self, events: AsyncGenerator[Event, None], counters: Counters | None = None) -> None:
        async with contextlib.aclosing(events):
            async for event in events:
                self._began = True
                if counters is not None:
                    counters.add(event)
                self._kept.add(event)
                if (warning := self._kept.warning(event)) is not None:
                    self._put(warning)
                self._put(event)
                await asyncio.sleep(0)  # events may come faster than they are sent: the sender gets its turn

    def _report_place(self, place: int) -> None:
        self._put(Queued(run=self.id, seq=0, t_ms=0.0, place=place))

    def _put(self, event: Event) -> None:
        if not self._over:
            self._over = isinstance(event, Done | Failure)
            self._outbox.put(event)


class PendingChanges:
    """What a client changed since the last round. A later value of a setting replaces an earlier one.

    `add` is called on the event loop, `take` in the models' thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._change: Change | None = None

    def add(self, update: Update) -> None:
        """Merge an update into the change."""
        with self._lock:
            before = self._change or Change()
            self._change = Change(
                depth=before.depth if update.k is None else update.k,
                temperature=before.temperature if update.temperature is None else update.temperature,
                drafter=before.drafter if update.drafter is None else update.drafter,
                nodes=before.nodes if update.nodes is None else update.nodes,
            )

    def take(self) -> list[Change]:
        """At most one change, with everything added since the last call."""
        with self._lock:
            change, self._change = self._change, None
        return [] if change is None else [change]


def failure(error: SpeculatoVizError, run: str | None, code: str | None = None) -> Failure:
    """The event for an error. code: instead of the error's own."""
    return Failure(run=run, seq=0, t_ms=0.0, code=code or error.code, message=error.message, hint=error.hint)
