"""Refused requests to the API are listed by their reason, keep nothing that a client wrote, and push out no run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.refusals import Refusal
from speculatoviz.server.refused import Refused
from speculatoviz.session.session import Session
from support.api_client import MODEL, TEXT, answer, post, sdk
from support.live_server import PATIENCE_S, Client, Server, Toys

PRIVATE = "a-secret-that-a-client-wrote"
FIELDS: dict[str, Any] = {"prompt": TEXT, "max_tokens": 4}
Group = dict[str, Any]


class Told:
    """What a client that follows is told. text: every frame, joined."""

    def __init__(self, client: Client) -> None:
        self._client, self.text = client, ""
        self.groups: list[Group] = []
        self.runs: dict[str, str] = {}
        client.send(type="follow")
        self.read()

    def read(self) -> None:
        event = self._client.receive()
        self.text += json.dumps(event)
        self.runs |= {row["run"]: row["state"] for row in event["runs"]}
        if event["refused"] is not None:
            self.groups = event["refused"]

    def until(self, requests: int) -> list[Group]:
        """The groups, once they have so many requests."""
        while sum(group["count"] for group in self.groups) < requests:
            self.read()
        return self.groups


def test_each_reason_is_listed_in_words_without_what_the_client_wrote(server: Server, client: Client) -> None:
    told = Told(client)
    bodies: list[tuple[str, Any]] = [
        ("completions", FIELDS | {"temperature": PRIVATE}),
        ("completions", FIELDS | {"best_of": PRIVATE}),
        ("completions", FIELDS | {"model": PRIVATE}),
        ("completions", FIELDS | {"speculation": {"drafter": PRIVATE}}),
        ("completions", FIELDS | {"speculation": {PRIVATE: 1}}),
        ("completions", FIELDS | {"prompt": 1000 * "abc"}),
        ("completions", PRIVATE),
        (f"{PRIVATE}?{PRIVATE}", FIELDS),
    ]
    for path, body in bodies:
        assert post(server, path, body, **{"User-Agent": PRIVATE}).status_code in {400, 404}
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    httpx.post(url, content=f'{{"{PRIVATE}', headers={"Content-Type": "application/json"}, trust_env=False)
    httpx.post(url, json=FIELDS, headers={"Origin": f"https://{PRIVATE}.example"}, trust_env=False)
    httpx.post(url, json=FIELDS, headers={"Host": PRIVATE}, trust_env=False)
    groups = told.until(len(bodies) + 3)

    assert [(group["status"], group["reason"]) for group in groups[:5]] == [
        (400, "temperature has a value that is not allowed."),
        (400, "best_of is not supported with this value."),
        (404, "It names a model that is not served here."),
        (400, "It asks for something that this server does not do."),
        (400, "speculation has a value that is not allowed."),
    ]
    assert groups[5]["reason"].startswith("The prompt has 3000 tokens and the context holds")
    assert [(group["status"], group["reason"], group["route"]) for group in groups[6:]] == [
        (400, "The body is not a JSON object.", "/v1/completions"),
        (404, "There is no such route.", None),
        (400, "The body is not JSON.", "/v1/completions"),
        (403, "A browser sent it for another website.", "/v1/completions"),
        (400, "It was sent to a host name that this server does not answer to.", "/v1/completions"),
    ]
    assert [group["client"] for group in groups] == [None] * len(bodies) + ["httpx"] * 3
    assert PRIVATE not in told.text
    assert told.runs == {}


def test_a_key_that_is_wrong_or_used_too_much_is_listed_and_never_shown(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    toys = Toys(tmp_path, api_key="right", key_requests=1)
    server, key = serve(settings=toys.settings, load=toys.load), {"Authorization": "Bearer right"}
    server.wait_until("ready", **key)
    with server.client(**key) as client:
        told = Told(client)
        assert post(server, "completions", FIELDS, Authorization=f"Bearer {PRIVATE}").status_code == 401
        assert post(server, "completions", FIELDS, **key).status_code == 200
        assert post(server, "completions", FIELDS, **key).status_code == 429
        wrong, much = told.until(2)

    assert (wrong["status"], wrong["reason"], wrong["key"]) == (401, "Its key is missing or wrong.", None)
    assert (much["status"], much["code"]) == (429, "rate_limit_exceeded")
    assert much["reason"] == "This key has sent more than 1 requests in a minute."
    assert much["key"] not in {None, "right"}
    assert PRIVATE not in told.text
    assert "right" not in told.text


def test_models_that_are_not_loaded_and_bodies_that_are_too_long_are_listed(serve: Callable[..., Server]) -> None:
    def load(report: Progress) -> Session:
        raise ModelError(f"/models/{PRIVATE}.gguf is torn.", "Fetch it again.")

    server = serve(load=load, runs=RunLimits(body_bytes=1000))
    server.wait_until("failed")
    with server.client() as client:
        told = Told(client)
        assert post(server, "completions", FIELDS).status_code == 503
        assert post(server, "completions", FIELDS | {"prompt": 1000 * "a"}).status_code == 413
        assert server.get("/v1/models/" + PRIVATE).status_code == 503
        groups = told.until(3)

    assert [(group["status"], group["reason"], group["route"]) for group in groups] == [
        (503, "The models are not loaded.", "/v1/completions"),
        (413, "The body has more than 1000 bytes.", "/v1/completions"),
        (503, "The models are not loaded.", "/v1/models/NAME"),
    ]
    assert PRIVATE not in told.text


def test_a_flood_of_refused_requests_pushes_out_no_run_and_is_few_rows(server: Server, client: Client) -> None:
    told = Told(client)
    answer(server, "completions", **FIELDS)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=PATIENCE_S) as flood:
        for i in range(60):
            assert flood.post("/v1/completions", json=FIELDS | {"temperature": f"hot {i}"}).status_code == 400
            assert flood.post(f"/v1/{i}", json=FIELDS).status_code == 404
    groups = told.until(120)
    assert [(group["status"], group["count"]) for group in groups] == [(400, 60), (404, 60)]
    with server.client() as late:
        assert list(Told(late).runs.values()) == ["done"]


def test_a_run_that_fails_is_listed_as_a_run(server: Server, client: Client, toys: Toys) -> None:
    told = Told(client)
    toys.target.failing = ValueError("broken")
    assert post(server, "completions", FIELDS).status_code == 500
    assert post(server, "completions", FIELDS | {"n": 0}).status_code == 400
    assert [group["status"] for group in told.until(1)] == [400]
    assert list(told.runs.values())[-1:] == ["failed"]


def test_openais_library_is_named_and_recognises_a_prompt_that_is_too_long(server: Server, client: Client) -> None:
    import openai

    told = Told(client)
    with pytest.raises(openai.BadRequestError) as caught:
        sdk(server).completions.create(model=MODEL, prompt=1000 * "a")
    [group] = told.until(1)

    assert caught.value.code == group["code"] == "context_length_exceeded"
    assert group["client"] == "OpenAI's library"


# --- the groups themselves ----------------------------------------------------------------------------


def asked(path: str, agent: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "path": path, "headers": [(b"user-agent", agent.encode())]})


def test_the_groups_are_bounded_and_the_one_that_grew_last_stays() -> None:
    times = iter(range(100))
    refused = Refused(lambda: next(times), most=3)
    for param in ("n", "seed", "n", "stop", "top_p"):
        refused.add(Refusal(400, "invalid_value", "", param), asked("/v1/completions", "curl/8.0"))

    assert [(group.reason.split()[0], group.count, group.first_ms, group.last_ms) for group in refused.groups()] == [
        ("n", 2, 0, 2000),
        ("stop", 1, 3000, 3000),
        ("top_p", 1, 4000, 4000),
    ]
    assert refused.take_changed() == refused.groups()
    assert refused.take_changed() is None
