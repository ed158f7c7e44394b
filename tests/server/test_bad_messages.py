"""Every bad message gets an error in words, and the socket stays open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from speculatoviz.server.messages import MAX_MESSAGE_BYTES
from support.live_server import CONTEXT_TOKENS, Client, Server, Toys

PROMPT = {"prompt": "once upon a time"}

BAD_FRAMES: dict[str, tuple[str | bytes, str]] = {
    "not JSON": ("hello", "not JSON"),
    "nothing": ("", "not JSON"),
    "half of an object": ('{"prompt": "a', "not JSON"),
    "an array": ("[1, 2]", "not a JSON object"),
    "a number": ("7", "not a JSON object"),
    "a binary frame": (b'{"prompt": "a"}', "binary"),
    "an oversized frame": (json.dumps({"prompt": "a" * MAX_MESSAGE_BYTES}), str(MAX_MESSAGE_BYTES)),
    "deep nesting": ('{"prompt": ' + "[" * 30_000 + "]" * 30_000 + "}", "not JSON"),
    "nesting at the recursion limit": ('{"prompt": ' + "[" * 960 + "]" * 960 + "}", ""),
    "a lone surrogate": ('{"prompt": "\\ud800"}', "not JSON"),
    "an integer of 5000 digits": ('{"prompt": "a", "seed": ' + "9" * 5000 + "}", "not JSON"),
    "not a number": ('{"prompt": "a", "temperature": NaN}', "0 to 2"),
    "infinity": ('{"prompt": "a", "temperature": 1e999}', "0 to 2"),
}

BAD_STARTS: dict[str, tuple[dict[str, Any], str]] = {
    "k too large": ({"k": 17}, "k is 17, and allowed are 0 to 16"),
    "k negative": ({"k": -1}, "k is -1, and allowed are 0 to 16"),
    "k not whole": ({"k": 2.5}, "k is 2.5, and allowed are 0 to 16"),
    "k a word": ({"k": "deep"}, "k is 'deep', and allowed are 0 to 16"),
    "temperature too high": ({"temperature": 2.01}, "temperature is 2.01, and allowed are 0 to 2"),
    "temperature negative": ({"temperature": -0.1}, "temperature is -0.1, and allowed are 0 to 2"),
    "no tokens": ({"max_tokens": 0}, "max_tokens is 0, and allowed are 1 to 4096"),
    "too many tokens": ({"max_tokens": 4097}, "max_tokens is 4097, and allowed are 1 to 4096"),
    "top_p": ({"top_p": 0}, "top_p is 0, and allowed are 0.05 to 1"),
    "seed": ({"seed": 1.5}, "it must be a whole number"),
    "an unknown setting": ({"colour": "red"}, "'colour'"),
    "a setting named like a message": ({"start": 1}, "'start'"),
    "an unknown setting of a turn": (
        {"prompt": None, "messages": [{"role": "user", "content": "a", "colour": 1}]},
        "'messages.0.colour'",
    ),
    "an unknown role": ({"prompt": None, "messages": [{"role": "god", "content": "a"}]}, "messages.0.role is 'god'"),
    "an unknown type": ({"type": "stop"}, "type is 'stop', and known are 'start', 'update', 'cancel'"),
    "a type that is no text": ({"type": ["start"]}, "known are 'start', 'update', 'cancel'"),
    "an unknown drafter": ({"drafter": "oracle"}, "'oracle'"),
    "an unknown rule": ({"rule": "coin"}, "rule is 'coin'"),
    "prompt and messages": ({"messages": [{"role": "user", "content": "a"}]}, "either a prompt or messages"),
    "neither": ({"prompt": None}, "either a prompt or messages"),
    "an empty prompt": ({"prompt": "  \n"}, "prompt is empty"),
    "no messages": ({"prompt": None, "messages": []}, "no tokens"),
    "seventeen stop strings": ({"stop": ["a"] * 17}, "stop is a list"),
    "a prompt that is no text": ({"prompt": 5}, "prompt is 5"),
    "what the model cannot read": ({"prompt": "ÄÖÜ"}, "cannot read"),
}


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
def toys(shared_toys: Toys) -> Iterator[Toys]:
    yield shared_toys
    shared_toys.gate.open()


def works(client: Client) -> bool:
    return bool(client.run()[-1]["type"] == "done")


@pytest.fixture
def ask(client: Client) -> Callable[[str | bytes], str]:
    """Sends a frame and returns the words of the error. The socket must stay open."""

    def send(frame: str | bytes) -> str:
        client.send_raw(frame)
        error = client.refused()
        assert error["code"] == "bad_request"
        assert works(client)
        return f"{error['message']} {error['hint']}"

    return send


@pytest.mark.parametrize(("frame", "words"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_is_answered_and_the_socket_stays_open(
    ask: Callable[[str | bytes], str], frame: str | bytes, words: str
) -> None:
    assert words in ask(frame)


@pytest.mark.parametrize(("start", "words"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_a_bad_start_is_answered_and_the_socket_stays_open(
    ask: Callable[[str | bytes], str], start: dict[str, Any], words: str
) -> None:
    assert words in ask(json.dumps(PROMPT | start))


def test_a_frame_of_just_the_allowed_size_is_read(client: Client) -> None:
    frame = json.dumps(PROMPT | {"drafter": "x"})
    client.send_raw(frame + " " * (MAX_MESSAGE_BYTES - len(frame)))

    assert "drafter" in client.refused()["message"]


def test_the_size_is_counted_in_bytes(client: Client) -> None:
    client.send_raw(json.dumps({"prompt": "é" * (MAX_MESSAGE_BYTES // 2)}, ensure_ascii=False))

    assert "bytes" in client.refused()["message"]


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(client: Client) -> None:
    client.send(prompt="a" * 700)
    message = client.refused()["message"]

    assert "700" in message
    assert str(CONTEXT_TOKENS) in message
    assert works(client)


def test_a_prompt_that_just_fits_is_accepted(client: Client) -> None:
    assert client.run(prompt="a" * (CONTEXT_TOKENS - 1))[-1]["total_tokens"] == 1


@pytest.mark.parametrize("message", [{"type": "update", "k": 2}, {"type": "cancel"}], ids=["update", "cancel"])
def test_without_a_run_there_is_nothing_to_change(client: Client, message: dict[str, Any]) -> None:
    client.send(**message)
    assert "No run" in client.refused()["message"]
    assert works(client)
    client.send(**message)  # nor after one
    assert "No run" in client.refused()["message"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (PROMPT, "A run is going on"),
        ({"type": "update", "k": 17}, "0 to 16"),
        ({"type": "update", "temperature": -1}, "0 to 2"),
        ({"type": "update", "max_tokens": 7}, "'max_tokens'"),
        ({"type": "cancel", "now": True}, "'now'"),
    ],
    ids=["a second start", "k", "temperature", "not changeable", "cancel with more"],
)
def test_a_bad_message_during_a_run_names_the_run_and_does_not_change_it(
    client: Client, toys: Toys, message: dict[str, Any], words: str
) -> None:
    expected = client.run()[-1]["token_ids"]
    toys.gate.limit(2)
    client.send(**PROMPT, k=3)
    toys.gate.wait_until_blocked()
    run = client.last("started")["run"]
    client.send(**message)
    error = client.last("error")
    toys.gate.open()

    assert words in error["message"]
    assert error["run"] == run
    events = client.until("done", "error")
    assert events[-1]["type"] == "done"
    assert events[-1]["token_ids"] == expected
    assert not [e for e in events if e["type"] == "updated"]


def test_many_bad_messages_in_a_row_are_each_answered(client: Client) -> None:
    for _ in range(200):
        client.send_raw("?")
    for _ in range(200):
        client.refused()

    assert works(client)
