"""One client of a verifier: frames in, answers out. Whatever one client sends, the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import anyio
from aiolimiter import AsyncLimiter
from fastapi import WebSocket, WebSocketDisconnect

from speculatoviz.core.types import Draft, Ints
from speculatoviz.errors import BadRequestError, BusyError, SpeculatoVizError
from speculatoviz.models.base import LanguageModel, Message
from speculatoviz.models.tokenizers.chat import encode_chat
from speculatoviz.server.verifier.sessions import OutOfStepError, Sessions, VerifierSession
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack
from speculatoviz.targets.verifier.evidence import known_vocabulary
from speculatoviz.targets.verifier.frames import draft_of, judged_frame, request_of, vocabulary_frame
from speculatoviz.targets.verifier.wire import Frame, WireError

T = TypeVar("T")

_FRAMES_AHEAD = 4  # received while one is answered; further frames wait in the network
_GOING_AWAY, _POLICY = 1001, 1008  # close codes of RFC 6455, section 7.4.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one client may use.

    draft_tokens: of one draft. frame_bytes: of one frame. frames_per_s: twice as many in a burst. hello_s: seconds
    until the first frame. unread_s: seconds until the client has read an answer. silent_s: seconds without a frame
    until a connection without a session is closed.
    """

    draft_tokens: int = 32
    frame_bytes: int = 1 << 20
    frames_per_s: float = 200.0
    hello_s: float = 10.0
    unread_s: float = 20.0
    silent_s: float = 60.0


class VerifierConnection:
    """Receives a frame, answers it, receives the next. clock: seconds. threads: for tokenizing and rendering."""

    def __init__(
        self,
        socket: WebSocket,
        model: LanguageModel,
        sessions: Sessions,
        welcome: Callable[[int], wire.Welcome],
        limits: ClientLimits,
        threads: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._socket, self._model, self._sessions = socket, model, sessions
        self._welcome, self._limits, self._threads, self._clock = welcome, limits, threads, clock
        self._limiter = AsyncLimiter(2 * limits.frames_per_s, 2.0)
        self._unread = False
        self._session: VerifierSession | None = None
        self._vocabulary: Ints | None = None  # of the session's drafts, as far as it was stated
        self._name = b""

    async def serve(self) -> None:
        """Until the client disconnects; what is being computed for it then is cancelled."""
        frames: asyncio.Queue[bytes | None] = asyncio.Queue(_FRAMES_AHEAD)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._receive, frames, group.cancel_scope)
                await self._close(*await self._answer_all(frames))
                group.cancel_scope.cancel()
        finally:
            self._sessions.release(self)

    async def _answer_all(self, frames: asyncio.Queue[bytes | None]) -> tuple[int, str]:
        """Answer frames until the connection has to be closed; the close code and the reason."""
        with anyio.move_on_after(self._limits.hello_s) as hello:
            greeted = await self._greet(await frames.get())
        if hello.cancelled_caught:
            return _POLICY, "no hello came"
        while greeted and not self._unread:
            raw: bytes | None = None
            with anyio.move_on_after(self._limits.silent_s) as silence:
                raw = await frames.get()
            if not silence.cancelled_caught:
                greeted = await self._answer(raw)
            elif self._session is None or self._session.closed:
                return _GOING_AWAY, f"no frame came within {self._limits.silent_s:g} s"
        return _POLICY, "answers were not read" if self._unread else "goodbye"

    async def _receive(self, frames: asyncio.Queue[bytes | None], scope: anyio.CancelScope) -> None:
        """Receive frames while others are answered, so that a disconnect is noticed at once."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                scope.cancel()
                return
            await frames.put(message.get("bytes"))

    async def _greet(self, raw: bytes | None) -> bool:
        """The handshake. False if the client was refused."""
        try:
            frame = self._parse(raw)
            if not isinstance(frame, wire.Hello):
                raise WireError("The first frame is not a hello.", "Use a client of SpeculatoViz.")
            if frame.version != wire.VERSION:
                raise WireError(
                    f"The client uses version {frame.version} of the protocol, and this verifier {wire.VERSION}.",
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

    async def _answer(self, raw: bytes | None) -> bool:
        """Answer one frame. False if the connection has to be closed."""
        arrived = self._clock()
        number = 0
        try:
            frame = self._parse(raw)
            number = frame.number
            if not self._limiter.has_capacity():
                raise BusyError(
                    f"More than {self._limits.frames_per_s:g} frames a second came from one client.", "Send fewer."
                )
            await self._limiter.acquire()
            await self._answer_frame(frame, arrived)
        except (WireError, BusyError) as error:
            await self._refuse(number, error, final=True)
            return False
        except SpeculatoVizError as error:
            await self._refuse(number, error, final=False)
        except Exception as error:
            log.exception("a request failed")
            failed = SpeculatoVizError(f"The verifier failed ({type(error).__name__}).", "See its log.")
            await self._refuse(number, failed, final=False)
        return True

    async def _answer_frame(self, frame: wire.ClientFrame, arrived: float) -> None:
        tokenizer = self._model.tokenizer
        match frame:
            case wire.Open():
                await self._open(frame)
            case wire.Submit():
                await self._submit(frame, arrived)
            case wire.Plain():
                await self._plain(frame, arrived)
            case wire.Encode():
                ids = await self._in_thread(lambda: tokenizer.encode(frame.text, special=frame.special))
                await self._send(wire.Ids(frame.number, pack(ids)))
            case wire.EncodeChat():
                turns: list[Message] = [{"role": role, "content": content} for role, content in frame.turns]
                ids = await self._in_thread(lambda: encode_chat(tokenizer, turns))
                await self._send(wire.Ids(frame.number, pack(ids)))
            case wire.AskVocabulary():
                answer = await self._in_thread(lambda: vocabulary_frame(frame.number, tokenizer.entries()))
                await self._send(answer)
            case wire.Bye():
                await self._end_session()
                await self._send(wire.Finished(frame.number, self._since_ms(arrived)))
            case wire.Hello():
                raise WireError("A second hello came.", "Use a client of SpeculatoViz.")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Tokenizing and rendering take as long as the text and the template make them."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _open(self, frame: wire.Open) -> None:
        request = request_of(frame, self._model.tokenizer.n_vocab)
        if len(frame.session) != 16:
            raise WireError("The session's name is not 16 bytes long.", "Use a client of SpeculatoViz.")
        if self._name != frame.session:
            self._sessions.release(self)
        self._vocabulary = known_vocabulary(frame, self._model.tokenizer.n_vocab)
        self._session, self._name = await self._sessions.acquire(frame.session, self), frame.session
        await self._send(wire.Opened(frame.number, await self._sessions.begin(self._session, request)))

    async def _submit(self, frame: wire.Submit, arrived: float) -> None:
        n_vocab = self._model.tokenizer.n_vocab
        if (vocabulary := known_vocabulary(frame, n_vocab)) is not None:
            self._vocabulary = vocabulary
        draft = draft_of(frame, n_vocab, self._vocabulary)
        if len(draft) > self._limits.draft_tokens:
            raise BadRequestError(
                f"The draft has {len(draft)} tokens and {self._limits.draft_tokens} are allowed.", "Draft less."
            )
        if not (draft.is_chain or self._opened().target.drafting.trees):
            raise BadRequestError("The draft is a tree.", "Draft chains for this model and this rule.")
        # The same draft has another number when it is sent again.
        asked = blake2b(wire.encode(wire.numbered(frame, 0)), digest_size=16).digest()
        verdict = await self._sessions.verify(self._opened(), draft, asked, frame.committed)
        await self._send(judged_frame(frame.number, frame.round, verdict, self._since_ms(arrived)))

    async def _plain(self, frame: wire.Plain, arrived: float) -> None:
        session = self._opened()
        begun_with = len(session.target.ids)
        for round in range(min(frame.tokens, self._sessions.context_tokens - begun_with)):
            draft, before = Draft.empty(round), len(session.target.ids)
            verdict = await self._sessions.verify(session, draft, secrets.token_bytes(8), before)
            await self._send(wire.Token(frame.number, verdict.extra.token))
            if self._unread:
                return
        await self._send(wire.Finished(frame.number, self._since_ms(arrived)))

    async def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None and session.owner is self:  # another connection may have acquired it
            await self._sessions.close(self._name)

    def _opened(self) -> VerifierSession:
        if self._session is None or self._session.owner is not self:
            raise OutOfStepError("No session is open on this connection.", "Open one first.")
        return self._session

    async def _send(self, frame: Frame) -> None:
        """An answer to a client that is gone is dropped: the client asks again."""
        with (
            contextlib.suppress(WebSocketDisconnect, RuntimeError),
            anyio.move_on_after(self._limits.unread_s) as limit,
        ):
            await self._socket.send_bytes(wire.encode(frame))
        self._unread = self._unread or limit.cancelled_caught

    async def _refuse(self, number: int, error: SpeculatoVizError, *, final: bool) -> None:
        await self._send(wire.Refused(number, error.code, error.message, error.hint, final))
        if final:
            await self._close(_POLICY, error.message)

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(1.0):
            await self._socket.close(code, reason.encode()[:120].decode(errors="ignore"))

    def _since_ms(self, arrived: float) -> float:
        return (self._clock() - arrived) * 1000

    def _parse(self, raw: bytes | None) -> wire.ClientFrame:
        """Raises WireError. Behind a proxy with limits of its own a longer frame can come than this server accepts."""
        if raw is None:
            raise WireError("The frame is text.", "Use a client of SpeculatoViz.")
        if len(raw) > (most := self._limits.frame_bytes):
            raise WireError(f"The frame has {len(raw)} bytes and {most} are allowed.", "Send shorter prompts.")
        return wire.client_frame(raw)
