"""One browser tab on `/ws/tokens`: messages in, events out, one run at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections import deque

from fastapi import WebSocket, WebSocketDisconnect

from speculatoviz.engine import Change
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.server.host import Host
from speculatoviz.server.messages import parse
from speculatoviz.server.outbox import Outbox
from speculatoviz.telemetry.events import Cancel, Done, Event, Failure, Queued, Start, Update

log = logging.getLogger(__name__)


class Connection:
    """Reads until the client goes; whatever it sends, the socket lives on."""

    def __init__(self, socket: WebSocket, host: Host) -> None:
        self._socket, self._host = socket, host
        self._outbox = Outbox(socket)
        self._run: Run | None = None

    async def serve(self) -> None:
        try:
            await self._socket.accept()
            while True:
                await self._take(await self._receive())
        except WebSocketDisconnect:
            pass
        finally:
            if self._run is not None:
                await self._run.abandon()
            self._outbox.close()

    async def _receive(self) -> str | None:
        """The text of the next frame, None for a binary one."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message.get("text")

    async def _take(self, text: str | None) -> None:
        run = self._run if self._run is not None and self._run.active else None
        try:
            if text is None:
                raise BadRequestError("The frame is binary.", "Send JSON in a text frame.")
            match parse(text):
                case Start() as start:
                    if run is not None:
                        raise BadRequestError("A run is going on here.", "Cancel it first, or wait for it to end.")
                    if self._run is not None:
                        await self._run.settled()
                    self._run = Run(self._outbox, self._host, start)
                case Update() as update if run is not None:
                    run.update(update)
                case Cancel() if run is not None:
                    await run.cancel()
                case _:
                    raise BadRequestError("No run is going on here.", "Start one first.")
        except SpeculatoVizError as error:
            self._outbox.put(failure(error, run.id if run else None))


class Run:
    """One run of a connection, from its start message to `done` or `error`."""

    def __init__(self, outbox: Outbox, host: Host, start: Start) -> None:
        self.id = secrets.token_hex(4)
        self._outbox, self._host = outbox, host
        self._changes: deque[Change] = deque()
        self._cancelled = threading.Event()
        self._began = False
        self._over = False
        self._task = asyncio.create_task(self._guarded(start))

    @property
    def active(self) -> bool:
        """Until its last event is on the way: a client may answer that with the next start."""
        return not self._over

    async def settled(self) -> None:
        """Wait until a run whose last event is on the way has let go of the models."""
        await asyncio.wait([self._task])

    def update(self, update: Update) -> None:
        """Takes effect between rounds. Raises BadRequestError for an unknown drafter."""
        if update.drafter is not None:
            self._host.ready().check_drafter(update.drafter)
        self._changes.append(Change(update.k, update.temperature, update.drafter, update.nodes))

    async def cancel(self) -> None:
        """Stop after the pass in progress; a run still in the line leaves it at once."""
        self._cancelled.set()
        if not self._began:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            gone = BadRequestError("The run was cancelled while it waited.", "Start it again when you like.")
            self._put(failure(gone, self.id, code="cancelled"))

    async def abandon(self) -> None:
        """The client is gone."""
        self._cancelled.set()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _guarded(self, start: Start) -> None:
        try:
            await self._execute(start)
        except SpeculatoVizError as error:
            self._put(failure(error, self.id))
        except Exception as error:
            log.exception("run %s failed", self.id)
            wrapped = SpeculatoVizError(f"The run failed ({error}).", "See the server's log; the models are kept.")
            self._put(failure(wrapped, self.id))
        await self._outbox.flushed()

    async def _execute(self, start: Start) -> None:
        session = self._host.ready()
        prepared = session.prepare(start)
        events = self._host.stream(
            lambda: session.run(self.id, prepared, self._cancelled.is_set, self._drain),
            self._tell_place,
            self._cancelled,
        )
        async with contextlib.aclosing(events):
            async for event in events:
                self._began = True
                self._put(event)

    def _drain(self) -> list[Change]:
        """Called from the models' thread: what came in since the last round."""
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def _tell_place(self, place: int) -> None:
        self._put(Queued(run=self.id, seq=0, t_ms=0.0, place=place))

    def _put(self, event: Event) -> None:
        self._over = self._over or isinstance(event, Done | Failure)
        self._outbox.put(event)


def failure(error: SpeculatoVizError, run: str | None, code: str | None = None) -> Failure:
    return Failure(run=run, seq=0, t_ms=0.0, code=code or error.code, message=error.message, hint=error.hint)
