"""One client of a verifier: frames in, answers out. Whatever it sends, the others are served on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import anyio
from aiolimiter import AsyncLimiter
from fastapi import WebSocket, WebSocketDisconnect

from speculatoviz.core.types import Draft
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import LanguageModel, Message
from speculatoviz.server.verifier.sessions import BusyError, OutOfStepError, Seat, Seats
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import (
    draft_of,
    judged_frame,
    pack,
    request_of,
    vocabulary_frame,
)
from speculatoviz.targets.verifier.wire import Frame, WireError

_HELLO_S = 10.0  # until a connection has to have said who it is
_TAKE_S = 20.0  # until a client has to have taken an answer in
_FRAMES_AHEAD = 4  # taken in while one is answered; behind them the network waits

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client may ask: tokens of a draft, bytes of a frame, frames a second (twice as many in a burst)."""

    draft_tokens: int = 32
    frame_bytes: int = 1 << 20
    frames_per_s: float = 200.0


class Connection:
    """Reads a frame, answers it, reads the next. clock: seconds."""

    def __init__(
        self,
        socket: WebSocket,
        model: LanguageModel,
        seats: Seats,
        welcome: Callable[[int], wire.Welcome],
        bounds: Bounds,
        clock: Callable[[], float],
    ) -> None:
        self._socket, self._model, self._seats = socket, model, seats
        self._welcome, self._bounds, self._clock = welcome, bounds, clock
        self._limiter = AsyncLimiter(2 * bounds.frames_per_s, 2.0)
        self._deaf = False
        self._seat: Seat | None = None
        self._session = b""

    async def serve(self) -> None:
        """Until the client goes; what is being computed for it then is dropped."""
        frames: asyncio.Queue[bytes | None] = asyncio.Queue(_FRAMES_AHEAD)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, frames, group.cancel_scope)
                with anyio.move_on_after(_HELLO_S) as limit:
                    greeted = await self._greet(await frames.get())
                while not limit.cancelled_caught and greeted:
                    greeted = await self._take(await frames.get())
                await self._close("goodbye" if not limit.cancelled_caught else "no hello came")
                group.cancel_scope.cancel()
        finally:
            self._seats.let_go(self)

    async def _read(self, frames: asyncio.Queue[bytes | None], scope: anyio.CancelScope) -> None:
        """Take frames in while others are answered, so that a client that goes is noticed at once."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                scope.cancel()
                return
            await frames.put(message.get("bytes"))

    async def _greet(self, raw: bytes | None) -> bool:
        """The handshake. False where the client was refused."""
        try:
            frame = _parse(raw)
            if not isinstance(frame, wire.Hello):
                raise WireError("The first frame is not a hello.", "Use a client of SpeculatoViz.")
            if frame.version != wire.VERSION:
                raise WireError(
                    f"The client speaks version {frame.version} of the protocol, and this verifier {wire.VERSION}.",
                    "Use the same version of SpeculatoViz on both sides.",
                )
            own = self._model.tokenizer.fingerprint
            if frame.fingerprint not in {None, own}:
                raise WireError(
                    f"The client's vocabulary is {frame.fingerprint}, and that of this verifier's model {own}.",
                    "Draft with a model of the target's family, or serve the model that was meant.",
                )
        except WireError as error:
            await self._refuse(0, error, final=True)
            return False
        await self._send(self._welcome(frame.number))
        return True

    async def _take(self, raw: bytes | None) -> bool:
        """Answer one frame. False once the client is to be let go."""
        arrived = self._clock()
        number = 0
        try:
            frame = _parse(raw)
            number = frame.number
            if not self._limiter.has_capacity():
                raise BusyError(
                    f"More than {self._bounds.frames_per_s:g} frames a second came from one client.", "Send fewer."
                )
            await self._limiter.acquire()
            await self._answer(frame, arrived)
        except (WireError, BusyError) as error:
            await self._refuse(number, error, final=True)
            return False
        except SpeculatoVizError as error:
            await self._refuse(number, error, final=False)
        except Exception as error:
            log.exception("a request failed")
            failed = SpeculatoVizError(f"The verifier failed ({type(error).__name__}).", "See its log.")
            await self._refuse(number, failed, final=False)
        return not self._deaf

    async def _answer(self, frame: wire.ClientFrame, arrived: float) -> None:
        tokenizer = self._model.tokenizer
        match frame:
            case wire.Open():
                await self._open(frame)
            case wire.Submit():
                await self._submit(frame, arrived)
            case wire.Plain():
                await self._plain(frame, arrived)
            case wire.Encode():
                ids = await asyncio.to_thread(tokenizer.encode, frame.text, special=frame.special)
                await self._send(wire.Ids(frame.number, pack(ids)))
            case wire.Render():
                turns: list[Message] = [{"role": role, "content": content} for role, content in frame.turns]
                await self._send(wire.Text(frame.number, tokenizer.render_chat(turns)))
            case wire.AskVocabulary():
                answer = await asyncio.to_thread(lambda: vocabulary_frame(frame.number, tokenizer.entries()))
                await self._send(answer)
            case wire.Bye():
                await self._leave()
                await self._send(wire.Finished(frame.number, self._since(arrived)))
            case wire.Hello():
                raise WireError("A second hello came.", "Use a client of SpeculatoViz.")

    async def _open(self, frame: wire.Open) -> None:
        request = request_of(frame, self._model.tokenizer.n_vocab)
        if len(frame.session) != 16:
            raise WireError("The session's name is not 16 bytes long.", "Use a client of SpeculatoViz.")
        if self._session != frame.session:
            self._seats.let_go(self)
        self._seat, self._session = await self._seats.take(frame.session, self), frame.session
        await self._send(wire.Opened(frame.number, await self._seats.open(self._seat, request)))

    async def _submit(self, frame: wire.Submit, arrived: float) -> None:
        draft = draft_of(frame, self._model.tokenizer.n_vocab)
        if len(draft) > self._bounds.draft_tokens:
            raise BadRequestError(
                f"The draft has {len(draft)} tokens and {self._bounds.draft_tokens} are allowed.", "Draft less."
            )
        if not (draft.is_chain or self._opened().target.drafting.trees):
            raise BadRequestError("The draft is a tree.", "Draft chains for this model and this rule.")
        # The same draft has another number when it is sent again.
        asked = blake2b(wire.encode(wire.numbered(frame, 0)), digest_size=16).digest()
        verdict = await self._seats.verify(self._opened(), draft, asked, frame.committed)
        await self._send(judged_frame(frame.number, frame.round, verdict, self._since(arrived)))

    async def _plain(self, frame: wire.Plain, arrived: float) -> None:
        seat = self._opened()
        begun_with = len(seat.target.ids)
        for round in range(min(frame.tokens, self._seats.context_tokens - begun_with)):
            draft, before = Draft.empty(round), len(seat.target.ids)
            verdict = await self._seats.verify(seat, draft, secrets.token_bytes(8), before)
            await self._send(wire.Token(frame.number, verdict.extra.token))
            if self._deaf:
                return
        await self._send(wire.Finished(frame.number, self._since(arrived)))

    async def _leave(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None and seat.owner is self:  # another connection may have come for it
            await self._seats.close(self._session)

    def _opened(self) -> Seat:
        if self._seat is None or self._seat.owner is not self:
            raise OutOfStepError("No session is open on this connection.", "Open one first.")
        return self._seat

    async def _send(self, frame: Frame) -> None:
        """What a client that is gone does not take is lost: it will ask again."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(_TAKE_S) as limit:
            await self._socket.send_bytes(wire.encode(frame))
        self._deaf = self._deaf or limit.cancelled_caught

    async def _refuse(self, number: int, error: SpeculatoVizError, *, final: bool) -> None:
        await self._send(wire.Refused(number, error.code, error.message, error.hint, final))
        if final:
            await self._close(error.message)

    async def _close(self, reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(1.0):
            await self._socket.close(1008, reason.encode()[:120].decode(errors="ignore"))

    def _since(self, arrived: float) -> float:
        return (self._clock() - arrived) * 1000


def _parse(raw: bytes | None) -> wire.ClientFrame:
    if raw is None:
        raise WireError("The frame is text.", "Use a client of SpeculatoViz.")
    return wire.client_frame(raw)
