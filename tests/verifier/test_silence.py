"""Clients that send or read nothing, and templates that never end: the verifier serves the others, and stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.uri import parse_uri

from speculatoviz.core.types import Draft
from speculatoviz.server.access import SECURITY_HEADERS
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.verifier.app import READY, VerifierOptions
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import unpack
from support.keys import one_key
from support.live_server import poll
from support.raw_socket import connections, raw_socket, rest
from support.verifier import PATIENCE_S, VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, request, toys
from support.verifier_models import WatchedToy
from support.verifier_servers import Servers

DRAFT = Draft.chain(0, [3, 4], (), "test")
OPTIONS = VerifierOptions(context_tokens=64, sessions=2)
KEY = "secret"


def assert_serves(server: VerifierServer, folder: Path) -> None:
    """A whole run gives the rounds of a target in this process."""
    with connected(server.url, folder) as target:
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def closed(client: RawClient) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        client.receive()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


# ---- silence ----


@pytest.mark.parametrize("sends", [b"", b"GET /ver", b"GET /verify HTTP/1.1\r\nHost:"], ids=["nothing", "line", "head"])
def test_a_connection_without_a_whole_request_is_closed(servers: Servers, sends: bytes) -> None:
    server = servers.start(how=OPTIONS, connections=ConnectionLimits(request_s=0.1))
    with raw_socket(server.port, sends) as tcp:
        rest(tcp)


def test_silent_connections_make_room(servers: Servers, folder: Path) -> None:
    server = servers.start(how=OPTIONS, connections=ConnectionLimits(sockets=4))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(raw_socket(server.port, b"GET /"))
            stack.enter_context(RawClient(server.url))
            assert len(connections(server)) <= 4 + 1
        assert_serves(server, folder)


def test_a_silent_connection_without_a_session_is_closed(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, limits=ClientLimits(silent_s=0.1)))
    with RawClient(server.url) as client:
        assert closed(client) == (1001, "no frame came within 0.1 s")


def test_a_silent_connection_with_a_session_stays_open(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, limits=ClientLimits(silent_s=0.1)))
    with RawClient(server.url) as client:
        client.open(request())
        for _ in range(3):  # the bound passes several times
            with RawClient(server.url) as silent:
                closed(silent)
        assert judged(client.submit(DRAFT, 2)).round == 0
        client.ask(wire.Bye)
        assert closed(client)[0] == 1001


def test_a_client_of_ours_that_was_silent_connects_again(servers: Servers, folder: Path) -> None:
    server = servers.start(how=replace(OPTIONS, limits=ClientLimits(silent_s=0.1)))
    with connected(server.url, folder) as target:
        poll(lambda: connections(server) == [], "its connection is closed")
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))
        assert target.connections == 2


# ---- answers that are not read ----


class Mute:
    """Sends frames and reads nothing after the handshake."""

    def __init__(self, tcp: socket.socket, url: str) -> None:
        self._tcp, self._protocol = tcp, ClientProtocol(parse_uri(url + wire.PATH))
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tcp.recv(1)
        self._protocol.receive_data(answer)

    def send(self, frame: wire.Frame) -> None:
        self._protocol.send_binary(wire.encode(frame))
        self._flush()

    def _flush(self) -> None:
        self._tcp.sendall(b"".join(self._protocol.data_to_send()))


def test_a_client_that_reads_no_answer_is_cut_off(servers: Servers, folder: Path) -> None:
    how = replace(OPTIONS, limits=ClientLimits(unread_s=0.1))
    server = servers.start(how=how, connections=ConnectionLimits(close_s=0.1), send_buffer=4096)
    with raw_socket(server.port, receive_buffer=4096) as tcp:
        mute = Mute(tcp, server.url)
        mute.send(wire.Hello(1, wire.VERSION))
        # The answer has four bytes for each letter: more than the buffers on the way hold.
        mute.send(wire.Encode(2, "a" * 100_000, special=False))
        mute.send(wire.Encode(3, "a" * 100_000, special=False))
        assert_serves(server, folder)
        poll(lambda: connections(server) == [], "it is closed")


# ---- templates and tokenizers ----


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Set at the end of a test, to end the threads that it blocked."""
    event = threading.Event()
    yield event
    event.set()


def hanging(go: threading.Event, begun: threading.Event) -> Callable[..., Any]:
    def wait(*_arguments: Any, **_options: Any) -> str:
        begun.set()
        assert go.wait(PATIENCE_S)
        return "a"

    return wait


def test_a_slow_template_delays_only_its_own_client(
    servers: Servers, go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, begun = toys()[0], threading.Event()
    monkeypatch.setattr(model.tokenizer, "render_chat", hanging(go, begun))
    server = servers.start(model, OPTIONS)
    with RawClient(server.url) as waits, RawClient(server.url) as other:
        waits.send(lambda number: wire.EncodeChat(number, [("user", "a")]))
        assert begun.wait(PATIENCE_S)
        other.open(request())
        assert judged(other.submit(DRAFT, 2)).round == 0
        assert httpx.get(f"http://127.0.0.1:{server.port}/health", trust_env=False).json()["sessions"] == 1
        go.set()
        answer = waits.receive()
        assert isinstance(answer, wire.Ids)
        assert unpack(answer.ids) == [0]


def test_it_stops_although_a_template_never_ends(go: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    model, begun = toys()[0], threading.Event()
    monkeypatch.setattr(model.tokenizer, "render_chat", hanging(go, begun))
    server = VerifierServer(model, OPTIONS)
    with RawClient(server.url) as waits:
        waits.send(lambda number: wire.EncodeChat(number, [("user", "a")]))
        assert begun.wait(PATIENCE_S)
        server.stop(at_once=False)


def test_it_stops_although_a_pass_never_ends() -> None:
    model = WatchedToy()
    server = VerifierServer(model, replace(OPTIONS, stop_s=0.2))
    with RawClient(server.url) as client:
        client.open(request())
        model.gate.limit(0)
        client.send(lambda number: wire.Plain(number, 3))
        model.gate.wait_until_blocked()
        server.stop(at_once=False)
    assert server.app.state.batcher.stuck
    model.gate.open()


def test_at_rest_it_closes_its_sessions() -> None:
    model = WatchedToy()
    server = VerifierServer(model, OPTIONS)
    with RawClient(server.url) as client:
        client.open(request())
        server.stop(at_once=False)
    assert not server.app.state.batcher.stuck
    assert model.open_caches == 0


# ---- access ----


def health(server: VerifierServer, **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{server.port}/health", headers=headers, trust_env=False)


def test_health_needs_the_key(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, keys=one_key(KEY)))

    assert health(server).status_code == 401
    assert health(server, Authorization=f"Bearer {KEY}x").status_code == 401
    assert health(server, Authorization=f"Bearer {KEY}").json()["sessions"] == 0


def test_a_service_manager_needs_no_key(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, keys=one_key(KEY), host="127.0.0.1"))
    answer = httpx.get(f"http://127.0.0.1:{server.port}{READY}", headers={"Host": "10.1.2.3"}, trust_env=False)

    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_a_browser_cannot_show_the_key(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, keys=one_key(KEY)))
    answer = httpx.get(f"http://127.0.0.1:{server.port}/health?key={KEY}", trust_env=False)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_page_is_refused_although_it_has_the_key_and_the_name(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, keys=one_key(KEY)))
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Authorization": f"Bearer {KEY}"}

    assert health(server, **own).status_code == 403
    with pytest.raises(InvalidStatus, match="403"):
        RawClient(server.url, **own)


def test_a_name_pointed_at_this_machine_opens_nothing(servers: Servers) -> None:
    server = servers.start(how=replace(OPTIONS, host="127.0.0.1"))

    assert health(server, Host="evil.example").status_code == 400
    assert health(server).status_code == 200


def test_every_answer_carries_the_security_headers(servers: Servers) -> None:
    answer = health(servers.start(how=OPTIONS))

    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_there_are_no_pages_with_scripts_of_others(servers: Servers, path: str) -> None:
    server = servers.start(how=OPTIONS)

    assert httpx.get(f"http://127.0.0.1:{server.port}{path}", trust_env=False).status_code == 404
