"""The sockets of the classroom: a view of the room for every connection, and the run that the presenter asks for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from speculatoviz.config import in_words
from speculatoviz.errors import BadRequestError, SpeculatoVizError, reason_of
from speculatoviz.server.classroom.lesson import LessonRound, lesson
from speculatoviz.server.classroom.messages import (
    CLASSROOM_MESSAGE,
    Bet,
    Close,
    Join,
    Next,
    Prepare,
    Present,
    Refused,
    Reveal,
    Welcome,
)
from speculatoviz.server.classroom.room import Room
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.outbox import Outbox
from speculatoviz.server.quotas import Quota
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.messages import Start

_MOST_BYTES = 16 * 1024  # of a message
_UNREAD_BYTES = 1 << 20  # of views that one visitor leaves unread
_PAUSE_S = 0.2  # between two views, so that a hundred bets are not a hundred views for a hundred visitors
_GOING_AWAY, _POLICY = 1001, 1008  # close codes of RFC 6455, section 7.4.1

log = logging.getLogger(__name__)


class Classroom:
    """The room of a server, and its connections. clock: seconds. For use in one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.room = Room(clock, lambda: secrets.token_urlsafe(16))
        self._members: set[Member] = set()
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends views while the server runs."""
        sending = asyncio.create_task(self._send())
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    @contextlib.contextmanager
    def with_member(self, member: Member) -> Iterator[None]:
        """A connection, from its beginning to its end."""
        self._members.add(member)
        try:
            yield
        finally:
            self._members.discard(member)
            self.change()

    def change(self) -> None:
        """The room has changed: everybody gets a new view soon."""
        self._changed.set()

    async def _send(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            common = self.room.common()
            for member in tuple(self._members):
                member.outbox.put(self.room.view(member.token, common))
            await asyncio.sleep(_PAUSE_S)


class Member:
    """One connection: of a visitor, of the presenter, or of one who has not said yet. token: its own; None at first."""

    def __init__(
        self, socket: WebSocket, classroom: Classroom, host: ModelHost, limits: RunLimits, quota: Quota
    ) -> None:
        self.token: str | None = None
        self._socket, self._classroom, self._host = socket, classroom, host
        self._limits, self._quota, self._room = limits, quota, classroom.room
        self._reading = anyio.CancelScope()
        self.outbox = Outbox(socket, min(_UNREAD_BYTES, limits.unread_bytes), self._reading.cancel)
        self._run: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until the connection ends. A run that it asked for is cancelled then."""
        reason = (_POLICY, "the views of the classroom were not read")
        try:
            await self._socket.accept()
            with self._classroom.with_member(self), self._reading:
                self.outbox.put(self._room.view(None))
                await self._read()
                reason = (_GOING_AWAY, f"no message came within {self._limits.silent_s:g} s")
        except WebSocketDisconnect:
            return
        finally:
            if self.token is not None:
                self._room.leave(self.token)
                self._classroom.change()
            await self._end_run()
            await self.outbox.close()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(self._limits.close_s):
            await self._socket.close(*reason)

    async def _read(self) -> None:
        """Answer messages. Returns once none came for too long; raises WebSocketDisconnect."""
        while True:
            with anyio.move_on_after(self._limits.silent_s) as silence:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code", 1006))
                await self._answer(message.get("text"))
                await asyncio.sleep(0)  # messages that are here already must not keep others waiting
            if silence.cancelled_caught:
                return

    async def _answer(self, text: str | None) -> None:
        try:
            await self._follow(_parsed(text))
        except SpeculatoVizError as error:
            self._refuse(error)
        else:
            self._classroom.change()

    async def _follow(self, message: Join | Present | Prepare | Bet | Reveal | Next | Close) -> None:
        room = self._room
        match message:
            case Join() | Present():
                if room.knows(self.token):
                    raise BadRequestError("This page takes part already.", "Open another tab for another part.")
                known = message.token
                self.token = room.join(message.name, known) if isinstance(message, Join) else room.present(known)
                self.outbox.put(Welcome(token=self.token))
                return
            case Bet():
                room.bet(self.token, message.round, message.accepted)
                return
        room.check_leads(self.token)
        match message:
            case Prepare():
                ended = self._quota.begin()
                try:
                    room.begin(message)
                except BadRequestError:
                    ended()
                    raise
                self._run = asyncio.create_task(self._decode(message))
                self._run.add_done_callback(lambda _: ended())
            case Reveal():
                room.reveal()
            case Next():
                room.next()
            case Close():
                await self._end_run()
                room.close()

    async def _decode(self, asked: Prepare) -> None:
        """Decode the answer and open its first round; back to waiting if that fails."""
        rounds: tuple[LessonRound, ...] = ()
        drafter = ""
        try:
            events, drafter = await self._events(asked)
            rounds = lesson(events, greedy=asked.temperature == 0.0)
            if not rounds:
                raise BadRequestError("Nothing was drafted for this prompt.", "Choose another prompt or drafter.")
        except SpeculatoVizError as error:
            self._refuse(error)
        except Exception as error:
            log.exception("the run of a classroom failed")
            self._refuse(SpeculatoVizError(f"The run failed ({reason_of(error)}).", "See the server's log."))
        finally:
            self._room.show(rounds, drafter)
            self._classroom.change()

    async def _events(self, asked: Prepare) -> tuple[list[Event], str]:
        """The events of the whole run, which nobody has seen and nothing stores, and its drafter."""
        self._host.check_busy()
        session, cancelled = self._host.ready(), threading.Event()
        start = Start(
            **asked.model_dump(exclude={"type"}), policy="fixed", nodes=0, rule="token", shadow=[], record_depth=0
        )
        prepared = await self._host.prepare(lambda: session.prepare(start))
        run = self._host.stream(
            lambda place: session.run(secrets.token_hex(6), prepared, cancelled.is_set, tuple, place),
            lambda _place: None,
            cancelled,
            prepared.request.prompt,
        )
        events: list[Event] = []
        async with contextlib.aclosing(run):
            async for event in run:
                self._host.counters.add(event)
                events.append(event)
        return events, prepared.drafter

    async def _end_run(self) -> None:
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait([self._run])

    def _refuse(self, error: SpeculatoVizError) -> None:
        self.outbox.put(Refused(code=error.code, message=error.message, hint=error.hint))


def _parsed(text: str | None) -> Join | Present | Prepare | Bet | Reveal | Next | Close:
    """The message in a frame; None is a binary one. Raises BadRequestError."""
    if text is None or len(text.encode()) > _MOST_BYTES:
        raise BadRequestError("The frame is binary or too long.", f"Send JSON of at most {_MOST_BYTES} bytes.")
    try:
        return CLASSROOM_MESSAGE.validate_json(text)
    except ValidationError as error:
        raise in_words(error) from error
