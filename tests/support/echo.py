"""A server that echoes, and a client that talks to it through a proxy."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from support.proxy import PATIENCE_S, Proxy


class Echo(socketserver.ThreadingTCPServer):
    """Answers each byte with itself, after a greeting, and remembers how its connections ended."""

    daemon_threads = False

    def __init__(self, greeting: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Echoing)
        self.greeting = greeting
        self.ends: list[str] = []
        self._ended = threading.Condition()
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def note(self, end: str) -> None:
        with self._ended:
            self.ends.append(end)
            self._ended.notify_all()

    def wait_for_ends(self, number: int) -> list[str]:
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.ends) >= number, PATIENCE_S), self.ends
            return list(self.ends)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Echoing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Echo)
        tcp: socket.socket = self.request
        try:
            tcp.sendall(self.server.greeting)
            while data := tcp.recv(65_536):
                tcp.sendall(data)
            self.server.note("closed")
        except OSError:
            self.server.note("reset")


@contextlib.contextmanager
def echoing(greeting: bytes = b"") -> Iterator[Echo]:
    echo = Echo(greeting)
    try:
        yield echo
    finally:
        echo.stop()


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S)


def read(tcp: socket.socket, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes:
        piece = tcp.recv(n_bytes - len(data))
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    return data


def read_to_the_end(tcp: socket.socket) -> tuple[bytes, str]:
    """All bytes that arrive, and whether a close or a reset follows them."""
    data = b""
    try:
        while piece := tcp.recv(65_536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "closed"


def say(tcp: socket.socket, words: bytes) -> None:
    tcp.sendall(words)
    assert read(tcp, len(words)) == words
