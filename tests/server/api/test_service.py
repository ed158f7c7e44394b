"""The API as a service: one run at a time, cancelled with its client, behind the key, within the limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError
from speculatoviz.server.limits import RunLimits
from speculatoviz.session.session import Session
from support.api_client import CHAT, TEXT, Json, complete, post, refusal
from support.live_server import PATIENCE_S, Server, Toys, poll
from support.raw_socket import connections, raw_socket, rest

LONG: Json = {"prompt": TEXT, "ignore_eos": True, "max_tokens": 400, "speculation": False}


def request(path: str, body: Any) -> bytes:
    """The bytes of a request."""
    sent = json.dumps(body).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent


# ---- one run at a time ----


def test_requests_and_runs_of_the_page_wait_for_each_other(server: Server, toys: Toys) -> None:
    toys.gate.limit(2)
    texts: list[str] = []
    with server.client() as client:
        client.send(prompt=TEXT, k=0, ignore_eos=True, max_tokens=20)
        toys.gate.wait_until_blocked()
        asking = threading.Thread(target=lambda: texts.append(complete(server, max_tokens=3)["choices"][0]["text"]))
        asking.start()
        poll(lambda: server.health()["runs_waiting"] == 1, "the request waits in the queue")
        assert texts == []
        toys.gate.open()
        assert client.last("done", "error")["type"] == "done"
    asking.join(PATIENCE_S)
    assert len(texts) == 1


def test_the_choices_of_one_request_let_others_in_between(server: Server, toys: Toys) -> None:
    toys.gate.limit(1)
    many = threading.Thread(target=complete, args=[server], kwargs={**LONG, "n": 30, "max_tokens": 8})
    many.start()
    toys.gate.wait_until_blocked()
    one = threading.Thread(target=complete, args=[server], kwargs={"max_tokens": 2, "prompt": "a"})
    one.start()
    poll(lambda: server.health()["runs_waiting"] == 1, "the other request waits")
    toys.gate.limit(40)  # for the rest of the first choice and the other request, of 240 for all choices
    one.join(PATIENCE_S)
    assert not one.is_alive()
    assert many.is_alive()
    toys.gate.open()
    many.join(PATIENCE_S)


def test_beyond_the_limit_of_waiting_runs_requests_are_refused(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(runs=RunLimits(idle_s=3600.0, waiting=1))
    server.wait_until("ready")
    toys.gate.limit(1)
    with (
        raw_socket(server.port, request("completions", LONG)),
        raw_socket(server.port, request("completions", LONG)),
    ):
        toys.gate.wait_until_blocked()
        poll(lambda: server.health()["runs_waiting"] == 1, "the second request waits")
        for path, body in (("completions", {"prompt": TEXT}), ("chat/completions", {"messages": CHAT})):
            response = post(server, path, body)
            assert (response.status_code, response.headers["retry-after"]) == (429, "1")
            assert response.json()["error"]["type"] == "rate_limit_error"
    toys.gate.open()
    poll(lambda: server.health()["runs_waiting"] == 0, "both are gone")
    assert complete(server)["choices"][0]["text"]


# ---- clients that leave ----


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_its_run(server: Server, toys: Toys, stream: bool) -> None:
    toys.gate.limit(5)
    with raw_socket(server.port, request("completions", {**LONG, "stream": stream})):
        toys.gate.wait_until_blocked()
        before = len(connections(server))
    poll(lambda: len(connections(server)) < before, "the server saw it leave")
    passes = toys.gate.passes
    toys.gate.open()

    assert complete(server, max_tokens=2)["choices"][0]["text"]
    assert toys.gate.passes < passes + 50  # of 400 and the other request's


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_it_waits_leaves_the_queue(server: Server, toys: Toys, stream: bool) -> None:
    toys.gate.limit(1)
    with server.client() as client:
        client.send(prompt=TEXT, k=0, max_tokens=4)
        toys.gate.wait_until_blocked()
        with raw_socket(server.port, request("completions", {**LONG, "stream": stream})):
            poll(lambda: server.health()["runs_waiting"] == 1, "the request waits")
        poll(lambda: server.health()["runs_waiting"] == 0, "it is gone")
        toys.gate.open()
        assert client.last("done", "error")["type"] == "done"


# ---- what goes wrong ----


def test_a_model_that_fails_is_reported_and_the_next_request_is_served(server: Server, toys: Toys) -> None:
    toys.target.failing = RuntimeError("no memory")
    error = refusal(server, "completions", {"prompt": "another text"}, status=500)

    assert "no memory" in error["message"]
    assert error["type"] == "server_error"
    assert complete(server)["choices"][0]["text"]


def test_a_tokenizer_that_fails_is_reported_in_words(
    server: Server, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(text: str, *, special: bool) -> list[int]:
        raise RuntimeError("torn vocabulary")

    with monkeypatch.context() as patch:
        patch.setattr(toys.target.tokenizer, "encode", encode)
        error = refusal(server, "completions", {"prompt": TEXT}, status=500)
    assert "torn vocabulary" in error["message"]
    assert complete(server)["choices"][0]["text"]


def test_while_models_load_requests_are_told_to_come_back(serve: Callable[..., Server], toys: Toys) -> None:
    go = threading.Event()

    def load(report: Progress) -> Session:
        report("downloading toy:0", 0.25)
        assert go.wait(PATIENCE_S)
        return toys.load(report)

    server = serve(load=load)
    try:
        for path, body in (("completions", {"prompt": TEXT}), ("chat/completions", {"messages": CHAT})):
            error = refusal(server, path, body, status=503)
            assert (error["code"], error["type"]) == ("model", "server_error")
        assert server.get("/v1/models").status_code == 503
        assert server.get("/metrics").status_code == 200
    finally:
        go.set()
    server.wait_until("ready")
    assert complete(server)["choices"][0]["text"]


def test_models_that_cannot_be_loaded_are_explained(serve: Callable[..., Server]) -> None:
    def load(report: Progress) -> Session:
        raise ModelError("The file is torn.", "Fetch it again.")

    server = serve(load=load)
    server.wait_until("failed")
    error = refusal(server, "completions", {"prompt": TEXT}, status=503)
    assert error["message"] == "The file is torn. Fetch it again."


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/v1/completions", 405, "POST"),
        ("DELETE", "/v1/models", 405, "GET"),
        ("GET", "/v1/engines", 404, None),
        ("POST", "/v1/embeddings", 404, None),
    ],
)
def test_other_routes_answer_in_the_same_form(
    shared_server: Server, method: str, path: str, status: int, allowed: str | None
) -> None:
    response = shared_server.ask(method, path)

    assert (response.status_code, response.headers.get("allow")) == (status, allowed)
    assert "/v1/models" in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 20_000, b'{"prompt": NaN}', b'{"prompt": "a", "top_p": NaN}'])
def test_bodies_that_are_no_json_are_refused(shared_server: Server, body: bytes) -> None:
    with raw_socket(shared_server.port) as tcp:
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        tcp.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = rest(tcp).decode()

    assert answer.startswith("HTTP/1.1 400 ")
    assert json.loads(answer.split("\r\n\r\n", 1)[1])["error"]["message"]


# ---- limits and access ----


def test_a_body_beyond_the_limit_is_refused(serve: Callable[..., Server]) -> None:
    server = serve(runs=RunLimits(idle_s=3600.0, body_bytes=1000))
    server.wait_until("ready")

    error = refusal(server, "completions", {"prompt": "a" * 1000}, status=413)
    assert "1000 bytes" in error["message"]
    assert complete(server, prompt="a" * 400)["usage"]["prompt_tokens"] == 400


def test_a_body_that_does_not_arrive_is_refused(serve: Callable[..., Server]) -> None:
    server = serve(runs=RunLimits(idle_s=3600.0, body_s=0.05))
    server.wait_until("ready")
    with raw_socket(server.port, request("completions", {"prompt": TEXT})[:-5]) as tcp:
        answer = tcp.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_without_the_key_nothing_is_answered(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=toys.settings.model_copy(update={"api_key": SecretStr("a-key")}))
    server.wait_until("ready", Authorization="Bearer a-key")
    passes = toys.gate.passes
    for headers in ({}, {"Authorization": "Bearer b-key"}, {"Authorization": "Basic a-key"}):
        response = post(server, "completions", {"prompt": TEXT}, **headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["type"] == "authentication_error"
        assert server.get("/metrics", **headers).status_code == 401
    assert toys.gate.passes == passes
    assert post(server, "completions", {"prompt": TEXT}, Authorization="Bearer a-key").status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Origin", "http://other.example", 403), ("Sec-Fetch-Site", "cross-site", 403), ("Host", "other.example", 400)],
)
def test_other_websites_cannot_use_it(shared_server: Server, header: str, value: str, status: int) -> None:
    response = post(shared_server, "completions", {"prompt": TEXT}, **{header: value})

    assert response.status_code == status
    assert response.json()["error"]["message"]


# ---- the schema ----


def test_the_schema_describes_requests_and_answers(shared_server: Server) -> None:
    schema = shared_server.get("/api/openapi.json").json()

    assert {"/v1/models", "/v1/completions", "/v1/chat/completions"} <= schema["paths"].keys()
    for path, asked, answered in (
        ("/v1/completions", "CompletionRequest", "Completion"),
        ("/v1/chat/completions", "ChatRequest", "ChatCompletion"),
    ):
        post_ = schema["paths"][path]["post"]
        body = post_["requestBody"]["content"]["application/json"]["schema"]
        assert body["$ref"].endswith(f"/{asked}")
        answer = post_["responses"]["200"]["content"]["application/json"]["schema"]
        assert answer["$ref"].endswith(f"/{answered}")
        fields = schema["components"]["schemas"][asked]["properties"]
        assert {"temperature", "seed", "stop", "n", "stream", "logprobs", "speculation", "logit_bias"} <= fields.keys()
        assert "not supported" in fields["typical_p"]["description"]


def test_streams_are_not_kept_by_caches(shared_server: Server) -> None:
    response = post(shared_server, "completions", {"prompt": TEXT, "stream": True})

    assert response.headers["cache-control"] == "no-store"


def test_no_document_of_a_chat_comes_before_its_first_token(server: Server, toys: Toys) -> None:
    """Clients measure the time to the first token by it."""
    toys.gate.limit(0)
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    body = {"messages": CHAT, "stream": True, "max_tokens": 4}
    came: list[str] = []
    with (
        toys.gate.opened_at_the_end(),
        httpx.Client(trust_env=False, timeout=PATIENCE_S) as client,
        client.stream("POST", url, json=body) as response,
    ):
        lines = response.iter_lines()
        reader = threading.Thread(target=lambda: came.append(next(lines)))
        reader.start()
        toys.gate.wait_until_blocked()
        reader.join(0.5)
        assert came == []
        toys.gate.open()
        reader.join(PATIENCE_S)
    assert '"role":"assistant"' in came[0].replace(" ", "")
