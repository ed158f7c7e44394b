"""A connection to a verifier that is made again when it is lost.

Frames go in pairs: one request, one answer. A request without an answer is sent again over a new connection, so a lost
connection costs time and no token.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import tenacity
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from speculatoviz.errors import SpeculatoVizError, TargetError, reason_of
from speculatoviz.targets import proxies
from speculatoviz.targets.names import shown_url, without_credentials
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.wire import Frame, ServerFrame

T = TypeVar("T")

# Equal for all connections of one client: a router in front of several verifiers can keep to the one with its cache.
SESSION_HEADER = "X-Session-Id"

_TOO_BIG, _POLICY = 1009, 1008  # close codes of RFC 6455, section 7.4.1


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """Seconds.

    total_s: until a verifier that was lost is given up. first_s: likewise for one that was never reached. open_s: for
    one attempt to connect. ping_s: between two pings. pong_s: until a connection without an answer to a ping counts as
    lost. wait_s, longest_wait_s: between two attempts, doubled each time, with jitter. idle_s: without a request until
    the connection is closed. The verifier then keeps the session only as long as no other client needs its place.
    """

    total_s: float = 60.0
    first_s: float = 5.0
    open_s: float = 5.0
    ping_s: float = 2.0
    pong_s: float = 6.0
    wait_s: float = 0.05
    longest_wait_s: float = 2.0
    idle_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The frame that answers a request, and the bytes of both."""

    frame: ServerFrame
    sent_bytes: int
    received_bytes: int


class ConnectionLostError(Exception):
    """The connection failed. Asking again over a new one may help."""


class _HeadersUnlogged(logging.LoggerAdapter[logging.Logger]):
    """A logger without the level at which the library logs headers, the key's included."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 (a method of the standard library)
        return level > logging.DEBUG and super().isEnabledFor(level)


class ReconnectingConnection:
    """A connection with one request at a time. Used on the event loop only.

    fingerprint: of the vocabulary that the verifier must have; None for any. welcome: the verifier's greeting.
    rtt_ms: the round-trip time of a ping. Both are None until the first connection. connections: how many were made.
    """

    def __init__(self, url: str, api_key: str | None, fingerprint: str | None, timeouts: ConnectionTimeouts) -> None:
        self._address, self._url = url, shown_url(url, "verifier")  # the address can contain credentials
        self._fingerprint, self._timeouts = fingerprint, timeouts
        self._via = ""  # names the proxy, if there is one
        # The library encodes headers as latin-1; the key is sent as UTF-8.
        own = {"Authorization": f"Bearer {api_key}".encode().decode("latin-1")} if api_key else {}
        self._headers = {SESSION_HEADER: secrets.token_hex(8), **own}
        self._socket: ClientConnection | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None  # closes the connection
        self._closing: asyncio.Task[None] | None = None
        self._number = 0
        self.welcome: wire.Welcome | None = None
        self.rtt_ms: float | None = None
        self.connections = 0

    async def ask(
        self,
        make: Callable[[int], Frame],
        opening: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """Send a frame, and send it again over new connections until its answer comes.

        make: returns the frame with a number. opening: called on a new connection before the frame is sent; it uses
        `exchange`. Raises TargetError once `total_s` has passed or if the verifier refuses for good, and
        SpeculatoVizError with the verifier's own code for any other refusal.
        """
        async with self._lock:
            try:
                return await self._retry(lambda: self._ask_once(make, opening))
            except asyncio.CancelledError:
                await self.drop()  # so that the verifier stops computing for this client
                raise

    async def exchange(self, make: Callable[[int], Frame]) -> Reply:
        """Send a frame on the present connection and return its answer, for `opening`. Raises ConnectionLostError."""
        self._number += 1
        number, socket = self._number, self._open_socket()
        raw = wire.encode(make(number))
        with self._in_use():
            await self._guarded(socket.send(raw))
            while True:
                answer = await self._guarded(socket.recv(decode=False))
                frame = await self._read(answer)
                if frame.number in {number, 0}:
                    if isinstance(frame, wire.Refused):
                        await self._refused(frame)
                    return Reply(frame, len(raw), len(answer))

    async def more(self) -> ServerFrame:
        """The next frame of a stream whose first frame has arrived. Raises ConnectionLostError."""
        with self._in_use():
            frame = await self._read(await self._guarded(self._open_socket().recv(decode=False)))
        if isinstance(frame, wire.Refused):
            await self._refused(frame)
        return frame

    async def connect(self) -> wire.Welcome:
        """Connect if there is no connection. Raises TargetError once `first_s` has passed."""
        async with self._lock:
            await self._retry(lambda: self._ensure_connected(None), self._timeouts.first_s)
        assert self.welcome is not None
        return self.welcome

    async def close(self) -> None:
        """Close the connection in order."""
        self._stop_timer()
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.close()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """While a frame is waited for. Afterwards the connection is idle, until the next one."""
        self._stop_timer()
        try:
            yield
        finally:
            if self._socket is not None:
                self._idle = asyncio.get_running_loop().call_later(self._timeouts.idle_s, self._rest)

    def _stop_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        """Close a connection that nobody uses. The next request makes a new one, and opens its session again."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            self._closing = asyncio.get_running_loop().create_task(socket.close())

    async def _ask_once(self, make: Callable[[int], Frame], opening: Callable[[], Awaitable[None]] | None) -> Reply:
        await self._ensure_connected(opening)
        try:
            return await self.exchange(make)
        except SpeculatoVizError as error:
            if error.code != "out_of_step" or opening is None:
                raise
            await opening()
            return await self.exchange(make)

    async def _retry(self, work: Callable[[], Awaitable[T]], total_s: float | None = None) -> T:
        timeouts = self._timeouts
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ConnectionLostError),
            stop=tenacity.stop_after_delay(timeouts.total_s if total_s is None else total_s),
            wait=tenacity.wait_random_exponential(multiplier=timeouts.wait_s, max=timeouts.longest_wait_s),
        )
        try:
            async for attempt in attempts:
                with attempt:
                    return await work()
        except tenacity.RetryError as error:
            reason = error.last_attempt.exception()
            raise TargetError(
                f"The verifier at {self._url} cannot be reached{self._via} ({reason}).",
                "Check that it runs there and that the network does.",
            ) from error
        raise AssertionError("unreachable")

    async def _ensure_connected(self, opening: Callable[[], Awaitable[None]] | None) -> None:
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
        timeouts = self._timeouts
        try:
            return await connect(
                self._address.rstrip("/") + wire.PATH,
                proxy=self._proxy_url(),
                logger=_HeadersUnlogged(logging.getLogger(__name__)),
                additional_headers=self._headers,
                compression=None,
                max_size=64 << 20,
                open_timeout=timeouts.open_s,
                close_timeout=min(1.0, timeouts.pong_s),
                ping_interval=timeouts.ping_s,
                ping_timeout=timeouts.pong_s,
            )
        except InvalidStatus as error:
            if error.response.status_code in {401, 403}:
                raise TargetError(
                    f"The verifier at {self._url} refused the key.",
                    "Give the one it was started with (--target-api-key).",
                ) from error
            raise ConnectionLostError(f"HTTP status {error.response.status_code}") from error
        except (InvalidURI, InvalidProxy, ValueError):
            raise TargetError(f"{self._url} is not an address.", "Write verifier:ws://host:port.") from None
        except ImportError:
            raise proxies.socks_package_missing("python-socks") from None
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            raise ConnectionLostError(reason_of(error)) from error

    def _proxy_url(self) -> str | None:
        """The proxy to the verifier; None for none. Raises InvalidURI, and TargetError for an unusable one."""
        uri = parse_uri(self._address)
        found = proxies.proxy_url("https" if uri.secure else "http", uri.host, uri.port)
        self._via = f" through the proxy {without_credentials(found)}" if found else ""
        return found

    async def _greet(self) -> None:
        """Exchange hello and welcome, and measure the round-trip time."""
        answer = await self.exchange(lambda number: wire.Hello(number, wire.VERSION, self._fingerprint))
        welcome = answer.frame
        if not isinstance(welcome, wire.Welcome) or welcome.version != wire.VERSION:
            raise TargetError(
                f"The verifier at {self._url} uses another version of the protocol.",
                "Use the same version of SpeculatoViz on both sides.",
            )
        if self._fingerprint is not None and welcome.fingerprint != self._fingerprint:
            raise TargetError(
                f"The verifier's vocabulary is {welcome.fingerprint} instead of {self._fingerprint}.",
                "Draft with a model of the target's family, or serve the model that you meant.",
            )
        self.welcome, self._fingerprint = welcome, welcome.fingerprint
        pong = await self._guarded(self._open_socket().ping())
        self.rtt_ms = 1000 * await self._guarded(pong)

    async def _guarded(self, work: Awaitable[T]) -> T:
        """Await `work`. Raises ConnectionLostError, or TargetError if the verifier closed with a reason."""
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
            reason = "it was closed" if close is None else f"the verifier closed it: {close.reason or close.code}"
            raise ConnectionLostError(reason) from error
        except OSError as error:
            await self.drop()
            raise ConnectionLostError(reason_of(error)) from error

    def _open_socket(self) -> ClientConnection:
        if self._socket is None:
            raise ConnectionLostError("the connection was closed")
        return self._socket

    async def drop(self) -> None:
        """Break off the connection. The next request makes a new one."""
        self._stop_timer()
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()

    async def _read(self, raw: bytes) -> ServerFrame:
        try:
            return wire.server_frame(raw)
        except wire.WireError:
            await self.drop()  # what follows it could be anything
            raise

    async def _refused(self, frame: wire.Refused) -> NoReturn:
        if frame.final:
            await self.drop()
            raise TargetError(frame.message, frame.hint)
        error = SpeculatoVizError(frame.message, frame.hint)
        error.code = frame.code
        raise error
