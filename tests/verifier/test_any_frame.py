"""Whatever frame arrives at a verifier, it is answered in words or ends its own connection, and nobody else's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from speculatoviz.core.types import Draft
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame, submit_frame
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import SESSION, RawClient, bits, here, request, toys
from support.verifier_servers import Servers

OPTIONS = VerifierOptions(context_tokens=512, sessions=4, limits=ClientLimits(frames_per_s=1e6))


def frames() -> list[bytes]:
    """One of each kind that a client sends."""
    asked = request()
    return [
        wire.encode(frame)
        for frame in (
            wire.Hello(1, wire.VERSION),
            open_frame(2, SESSION, asked, asked.prompt),
            submit_frame(3, Draft.chain(0, [3, 4], (), "test"), 2),
            wire.Plain(4, 2),
            wire.Encode(5, "once upon", False),
            wire.EncodeChat(6, [("user", "once")]),
            wire.AskVocabulary(7),
            wire.Bye(8),
        )
    ]


def odd_frame(draw: random.Random, known: list[bytes]) -> bytes:
    """A frame as it is, or with bytes changed, cut, doubled or exchanged with those of another."""
    raw = bytearray(draw.choice(known))
    for _ in range(draw.choice([0, 1, 1, 2, 6])):
        at = draw.randrange(len(raw) + 1)
        match draw.randrange(4):
            case 0:
                raw[at:at] = draw.randbytes(draw.randrange(1, 6))
            case 1:
                del raw[at : at + draw.randrange(1, 6)]
            case 2:
                raw[at : at + 1] = bytes([draw.choice([0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xC4, 0xDC, 0xDF, 0xFF])])
            case _:
                raw[at:] = draw.choice(known)[at:]
    return bytes(raw)


def send_odd_frames(server: VerifierServer, count: int, seed: int) -> tuple[int, int]:
    """Send frames, on a new connection whenever one is closed; how many were answered, and how many refused."""
    draw, known, sent, answered, refused = random.Random(seed), frames(), 0, 0, 0  # noqa: S311
    codes: set[int | None] = set()
    while sent < count:
        with RawClient(server.url) as client:
            try:
                while sent < count:
                    sent += 1
                    client.send_raw(odd_frame(draw, known))
                    answer = client.receive()
                    while isinstance(answer, wire.Token):  # of a stream, which has a last frame
                        answer = client.receive()
                    answered += 1
                    if isinstance(answer, wire.Refused):
                        refused += 1
                        assert answer.message.endswith("."), answer
                        assert answer.code != "error", answer
                        if answer.final:
                            break
            except ConnectionClosed as closed:
                codes.add(None if closed.rcvd is None else closed.rcvd.code)
    assert codes <= {1008, 1009}
    return answered, refused


def assert_serves(server: VerifierServer, folder: Path) -> None:
    """A whole run gives the rounds of a target in this process."""
    with connected(server.url, folder) as target:
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def test_hundreds_of_odd_frames_are_answered(servers: Servers, folder: Path) -> None:
    server = servers.start(how=OPTIONS)
    answered, refused = send_odd_frames(server, 400, seed=1)

    assert answered > 350
    assert 50 < refused < answered
    assert_serves(server, folder)


@pytest.mark.full
def test_ten_thousand_odd_frames_are_answered(servers: Servers, folder: Path) -> None:
    server = servers.start(how=OPTIONS)
    answered, _ = send_odd_frames(server, 10_000, seed=2)

    assert answered > 9_000
    assert_serves(server, folder)
