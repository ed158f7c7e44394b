"""A server stops within its time limit, whatever clients, templates, targets and models do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.core.progress import Progress
from speculatoviz.session.session import Session
from support.live_server import PATIENCE_S, RUN_LIMITS, Server, Toys, poll
from support.raw_socket import raw_socket

TESTS = Path(__file__).parents[1]


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Set at the end of a test, to end the threads that it blocked."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def brief(serve: Callable[..., Server]) -> Callable[..., Server]:
    """Starts servers with a short time limit for stopping."""
    return lambda **how: serve(runs=replace(RUN_LIMITS, stop_s=0.2), **how)


def stuck(server: Server) -> bool:
    found: bool = server.app.state.host.stuck
    return found


def test_a_server_at_rest_closes_its_models(serve: Callable[..., Server], toys: Toys) -> None:
    closed: list[bool] = []

    def load(report: Progress) -> Session:
        session = toys.load(report)
        close = session.close
        session.close = lambda: (close(), closed.append(True))[0]  # type: ignore[method-assign]
        return session

    server = serve(load=load)
    server.wait_until("ready")
    server.stop()

    assert (closed, stuck(server)) == ([True], False)


def test_models_that_were_loaded_while_the_server_stopped_are_closed(serve: Callable[..., Server], toys: Toys) -> None:
    waiting, loaded, closed = threading.Event(), threading.Event(), threading.Event()

    def load(report: Progress) -> Session:
        waiting.set()
        assert loaded.wait(PATIENCE_S)
        session = toys.load(lambda _stage, _share: None)
        session.close = closed.set  # type: ignore[method-assign]
        return session

    server = serve(load=load)
    assert waiting.wait(PATIENCE_S)
    server.ask_to_stop()
    poll(server.app.state.host._stopping.is_set, "it stops")
    loaded.set()
    server.stop()

    assert closed.is_set()
    assert not stuck(server)


def test_it_stops_although_loading_never_ends(brief: Callable[..., Server], toys: Toys, go: threading.Event) -> None:
    waiting = threading.Event()

    def load(report: Progress) -> Session:
        waiting.set()
        assert go.wait(PATIENCE_S)
        return toys.load(report)

    server = brief(load=load)
    assert waiting.wait(PATIENCE_S)
    server.stop()

    assert stuck(server)


def test_it_stops_although_a_pass_never_ends(brief: Callable[..., Server], toys: Toys) -> None:
    server = brief()
    server.wait_until("ready")
    toys.gate.limit(0)
    with server.client() as client:
        client.send(prompt="once upon a time", k=0)
        toys.gate.wait_until_blocked()
        server.stop()

    assert stuck(server)


def test_it_stops_although_a_template_never_ends(
    brief: Callable[..., Server], toys: Toys, go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def render(_messages: Any) -> str:
        waiting.set()
        assert go.wait(PATIENCE_S)
        return "a"

    server = brief()
    server.wait_until("ready")
    monkeypatch.setattr(toys.target.tokenizer, "render_chat", render)
    with server.client() as client:
        client.send(messages=[{"role": "user", "content": "once"}])
        assert waiting.wait(PATIENCE_S)
        server.stop()

    assert stuck(server), "the models must not be closed while the thread uses their vocabulary"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the loop ends before these connections do
def test_it_stops_although_clients_are_in_the_middle_of_something(brief: Callable[..., Server]) -> None:
    server = brief()
    server.wait_until("ready")
    with (
        raw_socket(server.port),
        raw_socket(server.port, b"GET /api/he"),
        raw_socket(server.port, b"POST /api/test-draft HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"),
        server.client(),
    ):
        server.health()
        server.stop()

    assert not stuck(server)


PROGRAM = """
import sys, threading
from speculatoviz.config import Settings
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.serve import page_server

def load(report):
    print("loading", flush=True)
    threading.Event().wait()

settings = Settings(_env_file=None, port=0, cache_dir=sys.argv[1])
page_server(settings, load, RunLimits(stop_s=0.2)).run()
print("never reached: the thread is still at work")
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_although_a_thread_never_does(tmp_path: Path, sent: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(sent)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == (0 if sent == signal.SIGINT else -sent)
    assert (out, "Traceback" in err) == ("", False)
