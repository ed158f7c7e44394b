"""A server that stops lets runs end, cancels the rest, and tells every client in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from speculatoviz.server.health import READY
from support.api_client import TEXT, Json, complete, post
from support.live_server import PATIENCE_S, RUN_LIMITS, Server, Toys, poll

LONG: Json = {"prompt": TEXT, "ignore_eos": True, "max_tokens": 400, "speculation": False}


@pytest.fixture
def patient(serve: Callable[..., Server]) -> Server:
    """A server that lets its runs end when it stops."""
    server = serve(runs=replace(RUN_LIMITS, cancel_s=PATIENCE_S))
    server.wait_until("ready")
    return server


def asking(server: Server, into: list[httpx.Response], **body: object) -> threading.Thread:
    thread = threading.Thread(target=lambda: into.append(post(server, "completions", LONG | body)))
    thread.start()
    return thread


def test_a_run_that_computes_ends_and_one_that_waits_is_refused(patient: Server, toys: Toys) -> None:
    toys.gate.limit(2)
    first: list[httpx.Response] = []
    second: list[httpx.Response] = []
    threads = [asking(patient, first, max_tokens=12)]
    toys.gate.wait_until_blocked()
    with patient.client() as page:
        threads.append(asking(patient, second))
        poll(lambda: patient.app.state.host.queue.waiting == 1, "a request waits")
        page.send(prompt=TEXT)
        assert page.receive()["type"] == "queued"
        patient.ask_to_stop()
        refused = page.refused()
        assert refused["code"] == "stopping"
        assert "stopped while this run waited" in refused["message"]
    poll(lambda: second != [], "the request that waits is answered")
    assert second[0].status_code == 503
    assert second[0].json()["error"]["code"] == "stopping"
    late = post(patient, "completions", LONG)
    assert (late.status_code, late.json()["error"]["message"][:23]) == (503, "The server is stopping.")
    assert patient.get(READY).json() == {"status": "stopping"}
    toys.gate.open()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert first[0].status_code == 200
    assert first[0].json()["usage"]["completion_tokens"] == 12
    patient.stop()


def test_a_run_that_takes_too_long_is_cancelled_in_words(server: Server, toys: Toys) -> None:
    """Its limit is 0 here: it is cancelled at once, after the pass in progress."""
    toys.gate.limit(4)
    with server.client() as page:
        page.send(prompt=TEXT, k=0, ignore_eos=True, max_tokens=400)
        toys.gate.wait_until_blocked()
        server.ask_to_stop()
        poll(lambda: server.app.state.host.stopping.begun, "it stops")
        toys.gate.open()
        last = page.last("done", "error")
        assert (last["type"], last["code"]) == ("error", "stopping")
        assert "stopped before this run had ended" in last["message"]
        assert last["hint"]
    server.stop()
    assert toys.gate.passes < 100


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long_is_answered_in_words(server: Server, toys: Toys, stream: bool) -> None:
    toys.gate.limit(4)
    answers: list[httpx.Response] = []
    thread = asking(server, answers, stream=stream)
    toys.gate.wait_until_blocked()
    server.ask_to_stop()
    poll(lambda: server.app.state.host.stopping.begun, "it stops")
    toys.gate.open()
    thread.join(PATIENCE_S)
    server.stop()

    if stream:
        *_, last, done, end = answers[0].text.split("\n\n")
        assert (done, end) == ("data: [DONE]", "")
        error = json.loads(last.removeprefix("data: "))["error"]
    else:
        assert answers[0].status_code == 503
        error = answers[0].json()["error"]
    assert (error["code"], error["type"]) == ("stopping", "server_error")


def test_a_server_without_runs_stops_at_once(patient: Server) -> None:
    assert complete(patient, max_tokens=2)["choices"]
    patient.stop()
