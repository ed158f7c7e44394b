"""Tokenizing, rendering and asking a remote target block neither the event loop nor other clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.server.model_host import ModelHost
from speculatoviz.session.session import Session
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from support.live_server import PATIENCE_S, RUN_LIMITS, Client, Server, Toys, poll
from support.proxy import Proxy
from support.verifier import serving
from support.verifier_client import toys as verifier_toys

SLOW = "slow text"


class Slow:
    """Makes a method of the tokenizer wait for texts that contain SLOW, until `go` is set."""

    def __init__(self, tokenizer: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.calls = threading.Event(), 0
        original = getattr(tokenizer, method)

        def waiting(asked: Any, **how: Any) -> Any:
            if SLOW in str(asked):
                self.calls += 1
                assert self.go.wait(PATIENCE_S)
            return original(asked, **how)

        monkeypatch.setattr(tokenizer, method, waiting)


@pytest.fixture(params=["encode", "render_chat"])
def slow(request: pytest.FixtureRequest, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """A tokenizer, or a chat template, that takes as long as a test wants."""
    held = Slow(toys.target.tokenizer, request.param, monkeypatch)
    yield held
    held.go.set()


START = {"messages": [{"role": "user", "content": SLOW}], "k": 2}


def test_health_settings_and_others_are_served_while_a_prompt_is_prepared(
    slow: Slow, server: Server, connected: Callable[[], Client]
) -> None:
    waits, other = connected(), connected()
    waits.send(**START)
    poll(lambda: slow.calls == 1, "the prompt is being prepared")

    assert server.health()["status"] == "ready"
    assert server.get("/api/settings").status_code == 200
    assert other.run()[-1]["type"] == "done"
    slow.go.set()
    assert waits.last("done", "error")["type"] == "done"


def test_a_run_is_cancelled_while_its_prompt_is_prepared(slow: Slow, client: Client) -> None:
    client.send(**START)
    poll(lambda: slow.calls == 1, "the prompt is being prepared")
    client.send(type="cancel")
    assert client.refused()["code"] == "cancelled"

    assert client.run()[-1]["type"] == "done", "the socket can run again at once"
    slow.go.set()


def test_many_cancelled_prompts_leave_room_for_others(
    slow: Slow, client: Client, connected: Callable[[], Client]
) -> None:
    """Threads are limited: the clients that wait for one can still cancel, and are served later."""
    for _ in range(10):
        client.send(**START)
        client.send(type="cancel")
        assert client.refused()["code"] == "cancelled"
    other = connected()
    other.send(prompt="once upon a time", k=2)
    slow.go.set()
    assert other.last("done", "error")["type"] == "done"
    assert slow.calls <= 4, "prompts that were cancelled before their turn are not prepared"


def test_a_draft_is_prepared_off_the_loop_too(
    toys: Toys, server: Server, connected: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(toys.target.tokenizer, "encode", monkeypatch)
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(server.post(f"/api/test-draft?prompt={SLOW}").status_code))
    asking.start()
    poll(lambda: slow.calls == 1, "the prompt is being prepared")

    assert server.health()["status"] == "ready"
    assert connected().run()[-1]["type"] == "done", "the models are free"
    slow.go.set()
    asking.join(PATIENCE_S)
    assert answers == [200]


def test_preparing_on_the_loop_is_caught(
    slow: Slow, server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: prompts are prepared where sockets are served."""

    async def on_the_loop(_host: ModelHost, work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(ModelHost, "prepare", on_the_loop)
    client.send(**START)
    poll(lambda: slow.calls == 1, "the prompt is being prepared")
    answered = threading.Event()
    asking = threading.Thread(target=lambda: (server.health(), answered.set()))
    asking.start()
    client.send(type="cancel")
    with pytest.raises(TimeoutError):
        client.receive(0.2)
    assert not answered.is_set()
    slow.go.set()
    asking.join(PATIENCE_S)


# ---- a remote target that is lost ----


@pytest.fixture
def lost(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Proxy]]:
    """A server with a remote target, and the proxy in between. A lost target is given up after a minute."""
    monkeypatch.setattr(
        "speculatoviz.targets.verifier.target.ConnectionTimeouts", lambda: ConnectionTimeouts(open_s=2.0)
    )
    with serving(verifier_toys()[0]) as verifier, Proxy("127.0.0.1", verifier.port) as proxy:
        chosen: dict[str, Any] = {"target": f"verifier:{proxy.url('ws')}", "draft": "toy:0~7"}
        settings = Settings(_env_file=None, **chosen | {"cache_dir": str(tmp_path), "max_tokens": 8})
        server = serve(
            settings=settings,
            load=lambda report: Session.load(settings, time.perf_counter, report),
            runs=replace(RUN_LIMITS, stop_s=0.2),
        )
        server.wait_until("ready")
        yield server, proxy
        proxy.resume()
        server.stop()


def test_a_lost_remote_target_blocks_nothing(lost: tuple[Server, Proxy]) -> None:
    server, proxy = lost
    with server.client() as client:
        assert client.run()[-1]["type"] == "done"
        proxy.stall()
        client.send(prompt="once upon a time", k=2)
        poll(server.app.state.host.session.target._connection._lock.locked, "the target is asked")
        for path in ("/api/health", "/api/settings"):
            assert server.get(path).status_code == 200
        client.send(type="cancel")
        assert client.refused()["code"] == "cancelled"
        proxy.resume()
        assert client.run()[-1]["type"] == "done"
