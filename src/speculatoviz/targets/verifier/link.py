"""A connection to a verifier that comes back by itself: what is lost is time, never a token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import tenacity
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from speculatoviz.errors import SpeculatoVizError, TargetError
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.wire import Frame, ServerFrame

T = TypeVar("T")

_TOO_BIG, _POLICY = 1009, 1008  # close codes of RFC 6455, section 7.4.1


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: total_s until a verifier that was lost is given up, first_s one that was never reached; open_s for one
    connection; ping_s and pong_s until a silent one counts as lost; wait_s, longest_wait_s between attempts, doubling,
    with jitter."""

    total_s: float = 60.0
    first_s: float = 5.0
    open_s: float = 5.0
    ping_s: float = 2.0
    pong_s: float = 6.0
    wait_s: float = 0.05
    longest_wait_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame that came back, and the bytes that went and came for it."""

    frame: ServerFrame
    sent_bytes: int
    received_bytes: int


class LostError(Exception):
    """The connection failed; asking again may help."""


class Link:
    """Asks one question at a time. Used on the event loop only.

    fingerprint: the vocabulary that is counted on; None for any. opening: run on a new connection before anything else
    is asked there; it asks by `exchange`.
    """

    def __init__(self, url: str, api_key: str | None, fingerprint: str | None, patience: Patience) -> None:
        self._url, self._fingerprint, self._patience = url, fingerprint, patience
        # The bytes of a header are those of its characters' numbers; a key's are UTF-8.
        self._headers = {"Authorization": f"Bearer {api_key}".encode().decode("latin-1")} if api_key else {}
        self._socket: ClientConnection | None = None
        self._lock = asyncio.Lock()
        self._number = 0
        self.welcome: wire.Welcome | None = None
        self.rtt_ms: float | None = None
        self.connections = 0

    async def ask(
        self,
        make: Callable[[int], Frame],
        opening: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """The answer to a frame, asked again over new connections until it comes.

        make: the frame, given its number. Raises TargetError once patience is at its end, or where the verifier
        refuses for good; and what it refuses otherwise as SpeculatoVizError with the verifier's own code.
        """
        async with self._lock:
            try:
                return await self._persist(lambda: self._once(make, opening))
            except asyncio.CancelledError:
                await self.drop()  # the verifier stops computing for whom it cannot answer
                raise

    async def exchange(self, make: Callable[[int], Frame]) -> Answer:
        """Send a frame and take its answer on the connection there is; for `opening`. Raises LostError."""
        self._number += 1
        number, socket = self._number, self._there()
        raw = wire.encode(make(number))
        await self._guarded(socket.send(raw))
        while True:
            answer = await self._guarded(socket.recv(decode=False))
            frame = await self._read(answer)
            if frame.number in {number, 0}:
                if isinstance(frame, wire.Refused):
                    await self._refused(frame)
                return Answer(frame, len(raw), len(answer))

    async def more(self) -> ServerFrame:
        """The next frame of a stream whose first one was answered. Raises LostError."""
        frame = await self._read(await self._guarded(self._there().recv(decode=False)))
        if isinstance(frame, wire.Refused):
            await self._refused(frame)
        return frame

    async def connect(self) -> wire.Welcome:
        """Connect, or use the connection there is."""
        async with self._lock:
            await self._persist(lambda: self._connected(None), self._patience.first_s)
        assert self.welcome is not None
        return self.welcome

    async def close(self) -> None:
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()

    async def _once(self, make: Callable[[int], Frame], opening: Callable[[], Awaitable[None]] | None) -> Answer:
        await self._connected(opening)
        try:
            return await self.exchange(make)
        except SpeculatoVizError as error:
            if error.code != "out_of_step" or opening is None:
                raise
            await opening()
            return await self.exchange(make)

    async def _persist(self, work: Callable[[], Awaitable[T]], total_s: float | None = None) -> T:
        patience = self._patience
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(LostError),
            stop=tenacity.stop_after_delay(patience.total_s if total_s is None else total_s),
            wait=tenacity.wait_random_exponential(multiplier=patience.wait_s, max=patience.longest_wait_s),
        )
        try:
            async for attempt in attempts:
                with attempt:
                    return await work()
        except tenacity.RetryError as error:
            reason = error.last_attempt.exception()
            raise TargetError(
                f"The verifier at {self._url} cannot be reached ({reason}).",
                "Check that it runs there and that the network does.",
            ) from error
        raise AssertionError("unreachable")

    async def _connected(self, opening: Callable[[], Awaitable[None]] | None) -> None:
        if self._socket is not None:
            return
        self._socket = await self._dial()
        try:
            await self._greet()
            if opening is not None:
                await opening()
        except BaseException:
            await self.drop()
            raise
        self.connections += 1

    async def _dial(self) -> ClientConnection:
        patience = self._patience
        try:
            return await connect(
                self._url.rstrip("/") + wire.PATH,
                additional_headers=self._headers,
                compression=None,
                max_size=64 << 20,
                open_timeout=patience.open_s,
                close_timeout=min(1.0, patience.pong_s),
                ping_interval=patience.ping_s,
                ping_timeout=patience.pong_s,
            )
        except InvalidStatus as error:
            if error.response.status_code in {401, 403}:
                raise TargetError(
                    f"The verifier at {self._url} refused the key.",
                    "Give the one it was started with (--target-api-key).",
                ) from error
            raise LostError(f"HTTP status {error.response.status_code}") from error
        except InvalidURI as error:
            raise TargetError(f"{self._url} is not an address.", "Write verifier:ws://host:port.") from error
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            raise LostError(str(error) or type(error).__name__) from error

    async def _greet(self) -> None:
        """Handshake and round-trip time."""
        answer = await self.exchange(lambda number: wire.Hello(number, wire.VERSION, self._fingerprint))
        welcome = answer.frame
        if not isinstance(welcome, wire.Welcome) or welcome.version != wire.VERSION:
            raise TargetError(
                f"The verifier at {self._url} speaks another version of the protocol.",
                "Use the same version of SpeculatoViz on both sides.",
            )
        if self._fingerprint is not None and welcome.fingerprint != self._fingerprint:
            raise TargetError(
                f"The verifier's vocabulary is {welcome.fingerprint}, and {self._fingerprint} was counted on.",
                "Draft with a model of the target's family, or serve the model that was meant.",
            )
        self.welcome, self._fingerprint = welcome, welcome.fingerprint
        pong = await self._guarded(self._there().ping())
        self.rtt_ms = 1000 * await self._guarded(pong)

    async def _guarded(self, work: Awaitable[T]) -> T:
        """What a broken connection raises, as LostError or, where the verifier closed it for a reason, in its words."""
        try:
            return await work
        except ConnectionClosed as error:
            await self.drop()
            close = error.rcvd
            if close is not None and close.code in {_TOO_BIG, _POLICY}:
                raise TargetError(
                    f"The verifier closed the connection ({close.reason or close.code}).",
                    "Send shorter prompts, or raise its limits.",
                ) from error
            raise LostError(str(error)) from error
        except OSError as error:
            await self.drop()
            raise LostError(str(error)) from error

    def _there(self) -> ClientConnection:
        if self._socket is None:
            raise LostError("the connection was closed")
        return self._socket

    async def drop(self) -> None:
        """Break the connection off; the next question makes a new one."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()

    async def _read(self, raw: bytes) -> ServerFrame:
        try:
            return wire.server_frame(raw)
        except wire.WireError:
            await self.drop()  # what comes behind it could be anything
            raise

    async def _refused(self, frame: wire.Refused) -> NoReturn:
        if frame.final:
            await self.drop()
            raise TargetError(frame.message, frame.hint)
        error = SpeculatoVizError(frame.message, frame.hint)
        error.code = frame.code
        raise error
