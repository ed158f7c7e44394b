"""What the clients of one key may use: runs at the same time, and requests a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from speculatoviz.server.key_file import KeyFile
from support.api_client import TEXT, complete, post
from support.live_server import PATIENCE_S, Server, Toys, poll

Keys = dict[str, dict[str, str]]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Headers of two keys."""
    file = KeyFile(tmp_path / "keys.json", lambda: 0.0)
    return {name: {"Authorization": f"Bearer {file.add(name)}"} for name in ("one", "two")}


@pytest.fixture
def limited(serve: Callable[..., Server], toys: Toys, tmp_path: Path, keys: Keys) -> Callable[..., Server]:
    """Starts a server with quotas that a test chooses; both keys open it."""

    def start(**quotas: int) -> Server:
        chosen = {"require_key": True, "keys_file": str(tmp_path / "keys.json")} | quotas
        server = serve(settings=toys.settings.model_copy(update=chosen))
        server.wait_until("ready", **keys["one"])
        return server

    return start


def test_the_requests_of_one_key_are_limited_and_those_of_another_are_not(
    limited: Callable[..., Server], keys: Keys
) -> None:
    server = limited(key_requests=3)
    body = {"prompt": TEXT, "max_tokens": 1}
    answers = [post(server, "completions", body, **keys["one"]) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    error = answers[-1].json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "3 requests in a minute" in error["message"]
    assert answers[-1].headers["retry-after"] == "20"
    assert post(server, "completions", body, **keys["two"]).status_code == 200
    assert server.get("/v1/models", **keys["one"]).status_code == 200, "reading is not limited"


def test_the_runs_of_one_key_are_limited_whoever_starts_them(
    limited: Callable[..., Server], keys: Keys, toys: Toys
) -> None:
    server = limited(key_runs=2)
    statuses: list[int] = []
    body = {"prompt": TEXT, "max_tokens": 2}

    def ask() -> None:
        statuses.append(post(server, "completions", body, **keys["one"]).status_code)

    with server.client(**keys["one"]) as page, server.client(**keys["one"]) as third:
        toys.gate.limit(0)
        page.send(prompt=TEXT, k=0, max_tokens=2)
        toys.gate.wait_until_blocked()
        asking = threading.Thread(target=ask)
        asking.start()
        poll(lambda: server.app.state.host.queue.waiting == 1, "the request waits")
        third.send(prompt=TEXT)
        refused = third.refused()
        assert (refused["code"], refused["run"]) == ("rate_limit_exceeded", None)
        assert "2 runs at the same time" in refused["message"]
        assert post(server, "completions", body, **keys["one"]).status_code == 429
        other = threading.Thread(target=post, args=[server, "completions", body], kwargs=keys["two"])
        other.start()
        poll(lambda: server.app.state.host.queue.waiting == 2, "another key is served")
        toys.gate.open()
        assert page.last("done", "error")["type"] == "done"
        asking.join(PATIENCE_S)
        other.join(PATIENCE_S)
        assert statuses == [200]
        assert third.run()[-1]["type"] == "done", "what has ended no longer counts"
        assert page.run()[-1]["type"] == "done"


def test_a_client_that_vanishes_gives_its_run_back(limited: Callable[..., Server], keys: Keys, toys: Toys) -> None:
    server = limited(key_runs=1)
    for _ in range(3):
        toys.gate.limit(0)
        with server.client(**keys["one"]) as client:
            client.send(prompt=TEXT, k=0, max_tokens=400, ignore_eos=True)
            toys.gate.wait_until_blocked()
            client.vanish()
            toys.gate.open()
        poll(lambda: server.app.state.host.queue.idle, "the run is over")
    with server.client(**keys["one"]) as client:
        poll(lambda: client.run(max_tokens=2)[-1]["type"] == "done", "it may run again")


def test_without_keys_nothing_is_counted(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=toys.settings.model_copy(update={"key_runs": 1, "key_requests": 1}))
    server.wait_until("ready")

    assert all(complete(server, max_tokens=1)["choices"] for _ in range(3))
