"""Connections that send nothing, or not enough, are closed and make room for others."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from weakref import WeakSet

import pytest
from websockets.exceptions import ConnectionClosed

from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.messages import MAX_MESSAGE_BYTES
from speculatoviz.server.protocols import LimitedWebSocket
from support.live_server import PATIENCE_S, RUN_LIMITS, Client, Server, Toys, poll
from support.raw_socket import connections, drip, raw_socket, rest

SOON = ConnectionLimits(request_s=0.2)
UPGRADE = (
    b"GET /ws/tokens HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
HEALTH = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNFINISHED = {
    "nothing": b"",
    "half a line": b"GET /api/he",
    "half a head": b"GET /api/health HTTP/1.1\r\nHost: local",
    "half of a second request": HEALTH + b"GET /api/hea",
    "half of an upgrade": UPGRADE,
    "half of a body after the answer": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",
}


@pytest.fixture
def hurried(serve: Callable[..., Server]) -> Server:
    """A server whose clients have to send a request soon."""
    server = serve(connections=SOON, runs=replace(RUN_LIMITS, body_s=0.2))
    server.wait_until("ready")
    return server


# ---- incomplete requests ----


@pytest.mark.parametrize("sends", UNFINISHED.values(), ids=UNFINISHED)
def test_a_connection_without_a_whole_request_is_closed(hurried: Server, sends: bytes) -> None:
    with raw_socket(hurried.port, sends) as tcp:
        rest(tcp)


@pytest.mark.parametrize("sends", [b"GET /", UNFINISHED["half of a body after the answer"]], ids=["head", "body"])
def test_single_bytes_do_not_keep_a_connection_open(hurried: Server, sends: bytes) -> None:
    with raw_socket(hurried.port, sends) as tcp:
        drip(tcp)


def test_a_connection_is_not_closed_while_its_answer_is_computed(hurried: Server, toys: Toys) -> None:
    toys.gate.limit(0)
    with hurried.client() as client:
        client.send(prompt="once upon a time", k=0, max_tokens=4)
        toys.gate.wait_until_blocked()
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(hurried.post("/api/test-draft?prompt=a").status_code))
        asking.start()
        poll(lambda: hurried.health()["runs_waiting"] == 1, "the draft waits")
        with raw_socket(hurried.port) as silent:  # the bound passes, as this one shows
            rest(silent)
        toys.gate.open()
        asking.join(PATIENCE_S)
        assert answers == [200]
        assert client.last("done", "error")["type"] == "done"


def test_a_handshake_that_cannot_be_parsed_is_answered_and_closed(serve: Callable[..., Server]) -> None:
    """h11 accepts request heads that websockets refuses: uvicorn would keep such a connection for ever."""
    server = serve()
    many = b"".join(b"x-%d: 1\r\n" % number for number in range(200))
    for _ in range(5):
        with raw_socket(server.port, UPGRADE + many + b"\r\n") as tcp:
            assert b" 431 " in rest(tcp)
    poll(lambda: connections(server) == [], "all are closed")


# ---- silent WebSockets ----


@pytest.fixture
def impatient(serve: Callable[..., Server]) -> Server:
    """A server whose sockets have to send a message soon."""
    server = serve(runs=replace(RUN_LIMITS, silent_s=0.2))
    server.wait_until("ready")
    return server


def closed(client: Client) -> tuple[int, str]:
    """Close code and reason."""
    with pytest.raises(ConnectionClosed) as ended:
        client.receive()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def test_a_socket_without_a_message_is_closed_with_a_reason(impatient: Server) -> None:
    with impatient.client() as client:
        assert closed(client) == (1001, "no message came within 0.2 s")


def test_a_socket_that_falls_silent_after_a_run_is_closed(impatient: Server) -> None:
    with impatient.client() as client:
        assert client.run()[-1]["type"] == "done"
        assert closed(client)[0] == 1001


def test_a_socket_is_not_closed_while_it_runs_or_waits(impatient: Server, toys: Toys) -> None:
    toys.gate.limit(1)
    with impatient.client() as runs, impatient.client() as waits:
        runs.send(prompt="once upon a time", k=0, max_tokens=4)
        toys.gate.wait_until_blocked()
        waits.send(prompt="once upon a time", k=0, max_tokens=4)
        waits.until("queued")
        for _ in range(3):  # the bound passes several times
            with impatient.client() as silent:
                closed(silent)
        toys.gate.open()
        assert runs.last("done", "error")["type"] == "done"
        assert waits.last("done", "error")["type"] == "done"


def test_a_message_far_beyond_the_limit_closes_the_socket(server: Server) -> None:
    with server.client() as client:
        client.send_raw("a" * (4 * MAX_MESSAGE_BYTES + 1))
        assert closed(client)[0] == 1009
    assert server.health()["status"] == "ready"


# ---- more connections than the limit ----


@pytest.fixture
def small(serve: Callable[..., Server]) -> Server:
    """A server for eight connections, which may be silent for long."""
    server = serve(connections=ConnectionLimits(sockets=8))
    server.wait_until("ready")
    return server


@pytest.mark.parametrize("sends", [b"", b"GET / HTTP/1.1\r\n"], ids=["nothing", "half a head"])
def test_silent_connections_make_room(small: Server, sends: bytes) -> None:
    with ExitStack() as stack:
        silent = []
        for _ in range(50):
            silent.append(stack.enter_context(raw_socket(small.port, sends)))
            assert small.get("/api/health", Connection="close").status_code == 200
            assert len(connections(small)) <= 8 + 1
        for tcp in silent[:40]:  # those that were silent longest
            rest(tcp)
        with small.client() as client:
            assert client.run()[-1]["type"] == "done"


def test_silent_sockets_make_room_too(small: Server) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(small.client()) for _ in range(8)]
        assert silent[3].run()[-1]["type"] == "done"  # so it is not the one that was silent longest
        for _ in range(7):
            stack.enter_context(small.client())
        assert silent[3].run()[-1]["type"] == "done"


@pytest.fixture
def asking(small: Server, toys: Toys) -> Iterator[list[int]]:
    """Eight requests for a draft that wait for the models. Their status codes, once the gate opens."""
    toys.gate.limit(0)
    answers: list[int] = []
    with ExitStack() as stack:
        stack.enter_context(toys.gate.opened_at_the_end())
        first = stack.enter_context(small.client())
        first.send(prompt="once upon a time", k=0, max_tokens=2)
        toys.gate.wait_until_blocked()
        threads = [
            threading.Thread(target=lambda: answers.append(small.post("/api/test-draft?prompt=a").status_code))
            for _ in range(8)
        ]
        queue = small.app.state.host.queue
        for number, thread in enumerate(threads, 1):  # one by one: each asks before the next one connects
            thread.start()
            poll(lambda number=number: queue.waiting == number, "it waits")
        yield answers
        for thread in threads:
            thread.join(PATIENCE_S)


def test_connections_that_are_served_are_not_replaced(small: Server, toys: Toys, asking: list[int]) -> None:
    """The socket is replaced, the eight requests are not; the tenth connection is refused in words."""
    with raw_socket(small.port) as refused:
        assert b" 503 " in rest(refused)
    toys.gate.open()
    poll(lambda: len(asking) == 8, "all are answered")
    assert asking == [200] * 8


# ---- after the end ----


def test_a_closed_connection_is_not_kept_by_its_deadlines(serve: Callable[..., Server]) -> None:
    """A timer that still runs would keep the connection and its compression."""
    server = serve(connections=ConnectionLimits(request_s=1e6, close_s=1e6))
    server.wait_until("ready")
    kept = WeakSet[LimitedWebSocket]()
    for _ in range(3):
        with server.client() as client:
            client.send(prompt="once upon a time", max_tokens=2)
            client.receive()
            kept |= {held for held in connections(server) if isinstance(held, LimitedWebSocket)}
            assert kept
    poll(lambda: not connections(server), "they are closed")

    def gone() -> bool:
        gc.collect()
        return not kept

    poll(gone, "nothing keeps them")
