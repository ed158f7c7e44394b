"""The relay that makes the way to a server longer."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from speculatoviz.bench.relay import Relay

DELAY_S = 0.05


def serve(listening: socket.socket) -> None:
    """Sends back what it gets, to one client."""
    with listening, listening.accept()[0] as there, suppress(ConnectionError):
        while data := there.recv(100):
            there.sendall(data)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    serving = threading.Thread(target=serve, args=[listening])
    serving.start()
    yield host, port
    serving.join()


def test_every_byte_arrives_in_order_and_not_before_its_time(echo: tuple[str, int]) -> None:
    with Relay(*echo, DELAY_S) as relay, socket.create_connection(("127.0.0.1", relay.port)) as client:
        began = time.monotonic()
        client.sendall(b"first ")
        client.sendall(b"second")
        got = b""
        while len(got) < 12:
            got += client.recv(100)
        assert time.monotonic() - began >= 2 * DELAY_S
    assert got == b"first second"


def test_a_relay_that_ends_leaves_no_stream_open(echo: tuple[str, int]) -> None:
    """A stream that the garbage collector has to close is a warning, and a warning is an error here."""
    with ExitStack() as stack:
        relay = Relay(*echo, 0.0)
        with relay:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", relay.port)))
            client.sendall(b"a")
            assert client.recv(1) == b"a"
        del relay
        gc.collect()


def test_a_client_is_disconnected_where_no_server_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host, port = gone.getsockname()
    with Relay(host, port, 0.0) as relay, socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.settimeout(30.0)
        with suppress(ConnectionError):  # that is one way to be disconnected
            got = client.recv(1)
            assert got == b""
