"""Clients that do not read use a bounded amount of memory and do not delay others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.server import app
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.outbox import Outbox
from speculatoviz.server.protocols import LimitedHttp
from speculatoviz.telemetry.events import Event
from support.live_server import RUN_LIMITS, MuteClient, Server, Toys, poll
from support.raw_socket import connections, raw_socket, rest

LIMIT_BYTES = 200_000
LONG = {"prompt": "once upon a time", "k": 0, "ignore_eos": True, "max_tokens": 4096}
KERNEL_BYTES = 4096
HIGH_WATER_BYTES, READ_BYTES = 1 << 16, 1 << 18  # of asyncio's transports: what they hold, and read at once


class Record:
    """Records the largest number of unread bytes of an outbox, and the largest event."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most_bytes = self.longest_bytes = self.puts = 0
        self.overflowed = False
        put = Outbox.put

        def recorded(outbox: Outbox, event: Event) -> None:
            put(outbox, event)
            self.puts += 1
            self.most_bytes = max(self.most_bytes, outbox.unread_bytes)
            self.longest_bytes = max(self.longest_bytes, len(event.model_dump_json().encode()))
            self.overflowed = self.overflowed or outbox._overflowed

        monkeypatch.setattr(Outbox, "put", recorded)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    return Record(monkeypatch)


@pytest.fixture
def strict(serve: Callable[..., Server]) -> Server:
    """A server that keeps few unread bytes for a client, and gives it time to read the closing frame."""
    server = serve(runs=replace(RUN_LIMITS, unread_bytes=LIMIT_BYTES, close_s=60.0), send_buffer=KERNEL_BYTES)
    server.wait_until("ready")
    return server


def test_a_client_that_does_not_read_its_events_is_disconnected(strict: Server, record: Record, toys: Toys) -> None:
    with strict.mute_client() as mute:
        mute.send(**LONG)
        poll(lambda: record.most_bytes > 0.9 * LIMIT_BYTES, "its events wait")
        with strict.client() as other:  # the run is cancelled, and the models go on to the next one
            assert other.run(max_tokens=4)[-1]["type"] == "done"
        assert toys.gate.passes < LONG["max_tokens"]
        events, code, reason = mute.read_at_last()

    assert record.most_bytes <= LIMIT_BYTES + record.longest_bytes
    assert [event["type"] for event in events][:1] == ["started"]
    assert code == 1008
    assert reason == f"more than {LIMIT_BYTES} bytes of events were not read"


def test_a_client_that_does_not_read_refusals_is_disconnected(strict: Server, record: Record) -> None:
    with strict.mute_client() as mute:
        while not record.overflowed:
            mute.send(type="stop")
        *_, code, _ = mute.read_at_last()

    assert code == 1008
    assert record.most_bytes <= LIMIT_BYTES + record.longest_bytes


def test_a_client_that_never_reads_is_cut_off(serve: Callable[..., Server]) -> None:
    server = serve(
        runs=replace(RUN_LIMITS, unread_bytes=LIMIT_BYTES, close_s=0.05),
        connections=ConnectionLimits(close_s=0.05),
        send_buffer=KERNEL_BYTES,
    )
    server.wait_until("ready")
    with server.mute_client() as mute:
        mute.send(**LONG)
        poll(lambda: server.app.state.host.queue.idle is False, "it runs")
        poll(lambda: all(type(held).__name__ != "LimitedWebSocket" for held in connections(server)), "it is closed")
        poll(lambda: server.app.state.host.queue.idle, "the run is over")


def test_pings_of_a_client_that_does_not_read_do_not_pile_up(serve: Callable[..., Server], record: Record) -> None:
    server = serve(send_buffer=KERNEL_BYTES)
    with raw_socket(server.port, receive_buffer=KERNEL_BYTES) as tcp:
        mute = MuteClient(tcp, f"ws://127.0.0.1:{server.port}/ws/tokens")
        for _ in range(40_000):
            mute.ping(b"x" * 125)
        mute.send(type="stop")
        poll(lambda: record.puts == 1, "all pings are read")
        [held] = [held for held in connections(server) if type(held).__name__ == "LimitedWebSocket"]
        assert held.transport.get_write_buffer_size() < HIGH_WATER_BYTES + READ_BYTES


# ---- answers ----


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A large file of the page."""
    folder = tmp_path / "page"
    folder.mkdir()
    content = b"large " * 500_000
    (folder / "index.html").write_bytes(content)
    monkeypatch.setattr(app, "PAGE", folder)
    return content


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_an_answer_that_is_not_read_is_cut_off(serve: Callable[..., Server], page: bytes) -> None:
    server = serve(connections=ConnectionLimits(unread_s=0.1), send_buffer=KERNEL_BYTES)
    with ExitStack() as stack:
        unread = [stack.enter_context(raw_socket(server.port, GET, KERNEL_BYTES)) for _ in range(5)]
        poll(lambda: len(connections(server)) == 5, "all ask")
        poll(lambda: connections(server) == [], "all are cut off")
        assert all(len(rest(tcp)) < len(page) for tcp in unread)


def test_an_answer_that_is_read_arrives(serve: Callable[..., Server], page: bytes) -> None:
    """The end of the answer may still be unread when the time for the next request is over."""
    server = serve(connections=ConnectionLimits(request_s=0.01), send_buffer=KERNEL_BYTES)
    received = bytearray()
    with raw_socket(server.port, GET, KERNEL_BYTES) as tcp:
        while part := tcp.recv(2048):
            received += part
    assert bytes(received).endswith(page)


class Unread:
    """A transport and the timers of an event loop, both moved by the test. left_bytes: not yet read by the client."""

    def __init__(self) -> None:
        self.left_bytes, self.cut = 100_000, False
        self.timers: list[Callable[[], None]] = []

    def get_write_buffer_size(self) -> int:
        return self.left_bytes

    def abort(self) -> None:
        self.cut = True

    def call_later(self, _seconds: float, look: Callable[..., None], *arguments: Any) -> None:
        self.timers.append(lambda: look(*arguments))

    def pass_time(self, read_bytes: int) -> None:
        self.left_bytes -= read_bytes
        self.timers.pop()()


def test_a_slow_client_stays_connected_as_long_as_it_reads() -> None:
    unread = Unread()
    held = LimitedHttp.__new__(LimitedHttp)
    held.limits, held.transport, held.loop = ConnectionLimits(), unread, unread  # type: ignore[assignment]
    held._unread = held._cut_if_unread(None, unread.left_bytes)
    for _ in range(20):
        unread.pass_time(read_bytes=1)
        assert not unread.cut
    unread.pass_time(read_bytes=0)
    assert unread.cut
