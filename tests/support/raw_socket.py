"""Clients below HTTP: connections that send what a test wants, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.live_server import PATIENCE_S


@contextmanager
def raw_socket(port: int, sends: bytes = b"", receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection to a port of this machine. receive_buffer: bytes that the kernel keeps unread."""
    with socket.socket() as tcp:
        if receive_buffer is not None:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tcp.settimeout(PATIENCE_S)
        tcp.connect(("127.0.0.1", port))
        tcp.sendall(sends)
        yield tcp


def rest(tcp: socket.socket) -> bytes:
    """What the server still sends, up to the end of the connection. Fails if it does not end."""
    received = b""
    try:
        while part := tcp.recv(1 << 16):
            received += part
    except ConnectionError:
        pass
    return received


def drip(tcp: socket.socket, byte: bytes = b"a") -> None:
    """Send a byte at a time until the connection ends."""
    pause = threading.Event()
    try:
        while True:
            tcp.sendall(byte)
            pause.wait(0.005)
    except ConnectionError:
        pass


def connections(server: Any) -> list[Any]:
    """The protocols of the connections that a running server holds. server: with uvicorn's as `uvicorn`."""
    return list(server.uvicorn.server_state.connections)
