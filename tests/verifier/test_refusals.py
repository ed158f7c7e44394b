"""Frames that are too large, too many or out of order are refused, and other clients are served meanwhile."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from speculatoviz.core.types import Draft
from speculatoviz.errors import SpeculatoVizError, TargetError
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame, submit_frame
from support.proxy import Proxy
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, penalised, refusal, request, toys
from support.verifier_servers import Servers

DRAFT = Draft.chain(0, [3, 4], (), "test")
SMALL = VerifierOptions(
    context_tokens=64, sessions=2, limits=ClientLimits(draft_tokens=4, frame_bytes=2_000, frames_per_s=50.0)
)


@pytest.fixture
def server(servers: Servers) -> VerifierServer:
    return servers.start(how=SMALL)


def assert_serves(server: VerifierServer, folder: Path) -> None:
    """A whole run gives the rounds of a target in this process."""
    with connected(server.url, folder) as target:
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def name(number: int) -> bytes:
    return bytes([number]) * 16


# ---- sizes and rates ----


def test_a_prompt_longer_than_the_context_is_refused(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        refused = refusal(client.open(request([0] * 64)))
        assert (refused.code, refused.final) == ("context", False)
        assert isinstance(client.open(request([0] * 63)), wire.Opened)
        assert refusal(client.submit(DRAFT, 63)).code == "context"
        assert judged(client.submit(Draft.empty(0), 63)).status == "plain"
    with connected(server.url, folder) as target, pytest.raises(SpeculatoVizError, match="64 tokens and a session"):
        target.begin(request([0] * 64))


def test_a_draft_that_is_too_large_or_a_tree_is_refused(server: VerifierServer) -> None:
    tree = Draft.chain(0, [1, 2], (), "test")
    tree.parents[:] = -1
    with RawClient(server.url) as client:
        client.open(replace(request(), rule="block"))
        refused = refusal(client.submit(Draft.chain(0, [1] * 5, (), "test"), 2))
        assert (refused.code, refused.final) == ("bad_request", False)
        assert "5 tokens and 4 are allowed" in refused.message
        assert "tree" in refusal(client.submit(tree, 2)).message
        assert judged(client.submit(Draft.chain(0, [1] * 4, (), "test"), 2)).round == 0


def test_a_frame_that_is_too_large_closes_the_connection(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        client.send_raw(bytes(3_000))
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with connected(server.url, folder) as target:
        with pytest.raises(TargetError, match="closed the connection"):
            target.tokenizer.encode("a" * 3_000, special=False)
        assert target.tokenizer.encode("ab", special=False) == [0, 1], "the next question finds the way back"


def test_too_many_frames_are_refused(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        answers = []
        with suppress(ConnectionClosed):
            for _ in range(150):
                answers.append(client.ask(lambda number: wire.Encode(number, "a", special=False)))
        refused = refusal(answers[-1])
        assert (refused.code, refused.final) == ("busy", True)
        assert "50 frames a second" in refused.message
        assert len(answers) > 100
    assert_serves(server, folder)


# ---- floods and silence ----


def test_clients_that_flood_or_hang_do_not_block_others(server: VerifierServer, folder: Path) -> None:
    flood = wire.encode(wire.Encode(1, "a" * 1_000, special=False))
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy("127.0.0.1", server.port))
        for _ in range(3):
            client = stack.enter_context(RawClient(server.url))
            with suppress(ConnectionClosed):
                for _ in range(400):
                    client.send_raw(flood)
            half = RawClient(proxy.url("ws"), hello=False)
            stack.callback(lambda half=half: half.__exit__())
            mute = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            mute.sendall(b"GET /verify HTTP/1.1\r\nHost:")
        proxy.drop("up")
        assert_serves(server, folder)
        proxy.cut()


def test_a_client_without_a_hello_is_disconnected(servers: Servers) -> None:
    server = servers.start(how=replace(SMALL, limits=ClientLimits(hello_s=0.05)))
    with RawClient(server.url, hello=False) as client, pytest.raises(ConnectionClosed) as closed:
        client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "no hello came"


# ---- frames out of order ----


def test_frames_out_of_order_are_refused(server: VerifierServer) -> None:
    with RawClient(server.url) as client:
        assert refusal(client.submit(DRAFT, 2)).code == "out_of_step"
        assert refusal(client.ask(lambda number: wire.Plain(number, 3))).code == "out_of_step"
        client.open(request())
        for committed in (-1, 1, 3, 1 << 40):
            refused = refusal(client.submit(DRAFT, committed))
            assert (refused.code, refused.final) == ("out_of_step", False)
        assert judged(client.submit(DRAFT, 2)).round == 0


@pytest.mark.parametrize(
    "frame",
    [
        open_frame(1, b"short", request(), (0, 1)),
        open_frame(1, name(0), request([29]), [29]),
        open_frame(1, name(0), request([0]), []),
        open_frame(1, name(0), penalised(bias=((29, 1.0),)), [0]),
        open_frame(1, name(0), penalised(presence=1e9), [0]),
        msgspec.structs.replace(open_frame(1, name(0), request([0]), [0]), output_from=2),
        submit_frame(1, Draft.chain(0, [29], (), "test"), 2),
        submit_frame(1, Draft.chain(-1, [3], (), "test"), 2),
        wire.Submit(1, 0, 2, b"\0\0\0", None, []),
        wire.Hello(1, wire.VERSION),
        "text",
        b"",
    ],
    ids=[
        "name",
        "id",
        "empty",
        "biased id",
        "penalty",
        "output",
        "drafted id",
        "round",
        "odd bytes",
        "hello twice",
        "text",
        "nothing",
    ],
)
def test_an_invalid_frame_ends_the_connection(
    server: VerifierServer, frame: wire.Frame | str | bytes, folder: Path
) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        client.send_raw(wire.encode(frame) if isinstance(frame, wire.Frame) else frame)
        assert client.refused().final
        with pytest.raises(ConnectionClosed):
            client.receive()
    assert_serves(server, folder)


def test_an_origin_is_refused(server: VerifierServer) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        RawClient(server.url, Origin="https://example.org")
