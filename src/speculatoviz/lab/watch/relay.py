"""A transparent proxy: every byte passes unchanged and in order in both directions, and a tap sees a copy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

_PIECE_BYTES = 1 << 16
_CONNECT_S = 10.0
_MOST_CONNECTIONS = 256

log = logging.getLogger(__name__)


class Tap(Protocol):
    """Sees what passes on one connection. It must not wait; what it raises ends the tap and not the connection."""

    def sent(self, data: bytes) -> None:
        """Bytes from the client; none: it sends no more."""

    def received(self, data: bytes) -> None:
        """Bytes from the server; none: it sends no more."""

    def closed(self) -> None:
        """The connection is over."""


class Relay:
    """Connects each client with the server at `host`:`port`. tap: makes one for each connection."""

    def __init__(self, host: str, port: int, tap: Callable[[], Tap]) -> None:
        self._host, self._port, self._tap = host, port, tap
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Accept clients until the end of the block; yields the port. 0 takes a free one. Raises OSError."""
        server = await asyncio.start_server(self._accept, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in tuple(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._connect(reader, writer)
        finally:
            self._connections.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tap, ends = _Guarded(self._tap()), [writer]
        try:
            there, back = await self._open()
            ends.append(back)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, back, tap.sent))
                both.create_task(_pass_on(there, writer, tap.received))
        except* OSError:  # one side is gone: the other learns it in the same way
            writer.transport.abort()
        finally:
            for end in ends:
                end.transport.abort() if end.transport.get_write_buffer_size() else end.close()
            tap.closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server. Raises OSError."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await asyncio.open_connection(self._host, self._port)
        except (OSError, TimeoutError) as error:
            log.warning("%s:%d cannot be reached (%s); a client was disconnected", self._host, self._port, error)
            raise


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None]) -> None:
    """Each piece is passed on as it came. The end of one direction is passed on as well, and the other goes on."""
    while data := await reader.read(_PIECE_BYTES):
        writer.write(data)
        see(data)
        await writer.drain()
    see(b"")
    if writer.can_write_eof():
        writer.write_eof()


class _Guarded:
    """A tap until it raises; then nothing is seen any more."""

    def __init__(self, tap: Tap) -> None:
        self._tap: Tap | None = tap

    def sent(self, data: bytes) -> None:
        self._see(lambda tap: tap.sent(data))

    def received(self, data: bytes) -> None:
        self._see(lambda tap: tap.received(data))

    def closed(self) -> None:
        self._see(lambda tap: tap.closed())

    def _see(self, show: Callable[[Tap], None]) -> None:
        if self._tap is None:
            return
        tap = self._tap
        try:
            show(tap)
        except Exception:
            log.exception("what passes on a connection is not recorded any more")
            self._tap = None
            with contextlib.suppress(Exception):
                tap.closed()
