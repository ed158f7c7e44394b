"""The sockets of the proxy: what comes in goes to a flow, and a flow writes. All of it in the loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Literal, Protocol

READ_BYTES = 65_536  # the most that one read takes

Item = bytes | Literal["end", "reset"]


class Taker(Protocol):
    @property
    def readable(self) -> int: ...

    def take(self, item: Item) -> None: ...


class End(asyncio.BufferedProtocol):
    """One socket."""

    flow: Taker  # of what comes in here

    def __init__(self, changed: Callable[[], None], gone: Callable[[], None]) -> None:
        """changed: called when it became writable or is so no more. gone: called when it is lost."""
        self._note_change, self._note_loss = changed, gone
        self._buffer = bytearray(READ_BYTES)
        self.transport: asyncio.Transport | None = None
        self.ended = False  # nothing more comes in
        self.lost = False
        self.writable = asyncio.Event()  # all that was written is the kernel's, or lost
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(0)
        transport.pause_reading()
        self.transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return memoryview(self._buffer)[: self.flow.readable]

    def buffer_updated(self, n_bytes: int) -> None:
        self.flow.take(bytes(self._buffer[:n_bytes]))

    def eof_received(self) -> bool:
        self.ended = True
        self.flow.take("end")
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self.writable.clear()
        self._note_change()

    def resume_writing(self) -> None:
        self.writable.set()
        self._note_change()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = self.lost = True
        self.writable.set()
        if error is not None:
            self.flow.take("reset")
        self._note_loss()

    def read(self, allowed: bool) -> None:
        if self.transport is not None and not self.ended:
            if allowed:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def write(self, data: memoryview) -> None:
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def write_end(self) -> None:
        if self.transport is not None and not self.lost:
            with contextlib.suppress(OSError):  # reset meanwhile
                self.transport.write_eof()

    def unsent(self) -> int:
        """How much of what was written the other side's kernel does not have; 0 where that cannot be asked."""
        if self.transport is None or self.lost:
            return 0
        answer = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
        return int.from_bytes(answer, sys.byteorder)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None and not self.lost:
            linger_not(self.transport.get_extra_info("socket"))
            self.transport.abort()


def linger_not(tcp: socket.socket) -> None:
    """Closing it is a reset."""
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(tcp: socket.socket) -> None:
    linger_not(tcp)
    tcp.close()
