"""Whatever frame arrives at the page's socket, it is answered in words, and the socket goes on."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from support.live_server import Client, Server

START: dict[str, Any] = {"prompt": "once upon a time", "max_tokens": 2, "k": 2}
MESSAGES: list[dict[str, Any]] = [
    START,
    {"type": "start", **START, "temperature": 0.7, "seed": 4, "stop": ["a"]},
    {"messages": [{"role": "user", "content": "once"}], "max_tokens": 1},
    {"type": "update", "k": 3, "temperature": 0.5},
    {"type": "cancel"},
]
ODD: list[Any] = [
    *(None, True, "", "a", "\ud800", "é" * 40, 0, -1, 17, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *([], [None], [[]], {}, {"": {}}, {"type": "start"}, ["a"] * 9, [{"role": "user", "content": 1}]),
]
PARTS = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\u", b"\x00", b"\xff", b"null", b"1e999", b"9" * 400, b'{"a":']


def odd_frame(draw: random.Random) -> str | bytes:
    """A message with fields of any value, or its text with bytes changed, cut, doubled, or as a binary frame."""
    message = dict(draw.choice(MESSAGES))
    names = [*message, "type", "drafter", "rule", "nodes", "stop", "messages", "no_such_field"]
    for _ in range(draw.randrange(4)):
        message[draw.choice(names)] = draw.choice(ODD)
    raw = bytearray(json.dumps(message).encode())
    for _ in range(draw.choice([0, 0, 1, 3])):
        at = draw.randrange(len(raw) + 1)
        change = draw.randrange(4)
        if change == 0:
            raw[at:at] = draw.choice(PARTS)
        elif change == 1:
            del raw[at : at + draw.randrange(1, 9)]
        elif change == 2:
            raw[at:at] = raw[: draw.randrange(20)]
        else:
            raw[at : at + 1] = bytes([draw.randrange(256)])
    if draw.random() < 0.1:
        return bytes(raw)
    return raw.decode(errors="replace")


def end_of(client: Client) -> dict[str, Any]:
    """The last event of what a frame began: an error in words, or the end of a run."""
    last = client.last("done", "error")
    assert last["type"] == "done" or (last["message"] and last["code"] not in {"error", "internal"}), last
    return last


def send_odd_frames(server: Server, count: int, seed: int) -> int:
    """Send frames one after the other; the number of runs that they began. Each must be answered."""
    draw, began = random.Random(seed), 0  # noqa: S311
    with server.client() as client:
        for _ in range(count):
            frame = odd_frame(draw)
            client.send_raw(frame)
            try:
                began += end_of(client)["type"] == "done"
            except AssertionError as error:
                raise AssertionError(f"not answered well: {frame!r}") from error
        assert client.run()[-1]["type"] == "done"
    return began


def test_hundreds_of_odd_frames_are_answered(shared_server: Server) -> None:
    assert 10 < send_odd_frames(shared_server, 400, seed=1) < 390


@pytest.mark.full
def test_ten_thousand_odd_frames_are_answered(shared_server: Server) -> None:
    assert send_odd_frames(shared_server, 10_000, seed=2) > 100
