"""`POST /api/draft-alone`: the road that a run did not take, from a rejected token of a real run."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest

from support.live_server import Client, Event, Server, Toys, poll
from support.raw_socket import raw_socket

PATH = "/api/draft-alone"
START = {"prompt": "once upon a time", "k": 4, "policy": "fixed", "max_tokens": 24, "ignore_eos": True}


def ask(server: Server, **body: Any) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{server.port}{PATH}", json=body, trust_env=False, timeout=60.0)


def rejected(events: list[Event]) -> tuple[dict[str, Any], list[int]]:
    """The fields of a request for the first rejected token of a run, and what the target wrote from there on."""
    emitted: list[int] = []
    for event in events:
        if event["type"] != "verify_result":
            continue
        if event["status"] == "rejected":
            break
        if event["status"] in {"accepted", "resampled", "bonus", "plain"}:
            emitted.append(event["token_id"])
    token = event["token_id"]
    assert event["status"] == "rejected", "the run rejected nothing"
    digest = events[0]["prompt_digest"]
    return {"run": START, "prompt_digest": digest, "output_ids": [*emitted, token]}, events[-1]["token_ids"][
        len(emitted) :
    ]


def test_from_a_rejected_token_the_drafter_writes_its_own_text(server: Server, client: Client) -> None:
    body, taken = rejected(client.run(**START))
    answer = ask(server, **body, most=10).json()

    assert answer["drafter"] == "model"
    assert answer["model"] == "toy-0~7"
    assert len(answer["tokens"]) == 10
    assert [body["output_ids"][-1], *(t["token_id"] for t in answer["tokens"])] != taken[:11]
    assert answer["text"]
    assert not answer["ended"]
    assert answer["draft_ms"] == pytest.approx(sum(t["draft_time_ms"] for t in answer["tokens"]))
    assert ask(server, **body, most=10).json()["text"] == answer["text"]


def test_bad_requests_are_refused_and_the_server_goes_on(server: Server, client: Client) -> None:
    body, _ = rejected(client.run(**START))
    in_words: list[tuple[dict[str, Any], str]] = [
        ({"run": START | {"drafter": "ngram"}}, "writes nothing alone"),
        ({"prompt_digest": "0"}, "cannot be built again"),
        ({"output_ids": [10**6]}, "outside the vocabulary"),
    ]
    for changes, words in in_words:
        answer = ask(server, **body | changes)
        assert answer.status_code == 400
        assert words in answer.json()["message"]
        assert answer.json()["hint"]
    malformed: list[dict[str, Any]] = [{"most": 0}, {"most": 257}, {"output_ids": ["x"]}, {"run": {"k": 99}}, {"a": 1}]
    for changes in malformed:
        assert ask(server, **body | changes).status_code == 422
    assert ask(server, **body).status_code == 200


def test_a_client_that_goes_leaves_the_queue(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve()
    server.wait_until("ready")
    with server.client() as client:
        body, _ = rejected(client.run(**START))
        toys.gate.limit(2)
        client.send(**START)
        toys.gate.wait_until_blocked()
        data = json.dumps(body).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data
        with raw_socket(server.port, request) as tcp, closing(tcp):
            poll(lambda: server.health()["runs_waiting"] == 1, "the request waits in the queue")
        poll(lambda: server.health()["runs_waiting"] == 0, "the request has left the queue")
        toys.gate.open()
        assert client.last("done", "error")["type"] == "done"
