"""Runs with another target than the server's own: loaded for the clients that name it, beside the server's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.server.model_host import ModelHost
from speculatoviz.session import other_targets
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done
from speculatoviz.telemetry.messages import Start
from support.live_server import Event, Server, Toys, poll

RUN: dict[str, Any] = {"prompt": "once upon a time", "k": 0, "policy": "fixed", "max_tokens": 40, "ignore_eos": True}


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path, race_targets="toy:0, toy:1,toy:2,verifier:ws://me:secret@elsewhere:1,/no/such/file.gguf")


def host(server: Server) -> ModelHost:
    found = server.app.state.host
    assert isinstance(found, ModelHost)
    return found


def loaded(server: Server) -> set[str]:
    return set(host(server).others._sessions)


def of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def text(events: list[Event]) -> str:
    [done] = of(events, "done")
    return str(done["generated_text"])


def alone(name: str, toys: Toys) -> str:
    """What a session of that target alone writes, greedily."""
    settings = toys.settings.model_copy(update={"target": name, "draft": "none", "drafter": None})
    session = Session.load(settings, time.perf_counter, lambda _stage, _share: None)
    try:
        prepared = session.prepare(Start(**RUN, temperature=0.0))
        [done] = [event for event in session.run("alone", prepared, lambda: False) if isinstance(event, Done)]
        return done.generated_text
    finally:
        session.close()


def test_the_settings_list_other_targets_and_why_one_is_missing(server: Server) -> None:
    assert "secret" not in server.get("/api/settings").text
    listed = {info["name"]: info["reason"] for info in server.get("/api/settings").json()["race_targets"]}

    assert listed.keys() == {"toy:1", "toy:2", "verifier:ws://elsewhere:1", "/no/such/file.gguf"}  # not its own
    assert listed["toy:1"] is None
    assert "is remote" in listed["verifier:ws://elsewhere:1"].lower()
    assert "there is no /no/such/file.gguf" in listed["/no/such/file.gguf"].lower()


def test_a_run_writes_what_its_own_target_writes_and_the_server_keeps_its_own(
    server: Server, connected: Callable[..., Any], toys: Toys
) -> None:
    client = connected()
    own = text(client.run(**RUN, temperature=0.0))
    first = client.run(**RUN, temperature=0.0, target="toy:1")
    again = client.run(**RUN, temperature=0.0, target="toy:1")
    back = text(client.run(**RUN, temperature=0.0))

    assert text(first) == text(again) == alone("toy:1", toys) != own == back
    [started] = of(first, "started")
    assert started["target_model"]["name"] == "toy-1"
    stages = of(first, "loading")
    assert stages[-1]["stage"] == "loaded"
    assert [event["elapsed_s"] for event in stages] == sorted(event["elapsed_s"] for event in stages)
    assert not of(again, "loading")
    client.disconnect()
    poll(lambda: not loaded(server), "the other target is closed once its client is gone")
    assert server.health()["target_model"]["name"] == "toy-0"


def test_drafters_of_the_server_are_not_those_of_another_target(client: Any) -> None:
    refused = client.run(**RUN | {"k": 3}, target="toy:1", drafter="model")[-1]
    assert "no draft model is loaded" in refused["message"]
    assert client.run(**RUN | {"k": 3}, target="toy:1", drafter="ngram")[-1]["type"] == "done"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("toy:9", "no other target named 'toy:9'"),
        ("toy:0", "no other target named 'toy:0'"),
        ("/etc/passwd", "no other target named '/etc/passwd'"),
        ("verifier:ws://elsewhere:1", "cannot be loaded"),
        ("/no/such/file.gguf", "cannot be loaded"),
    ],
)
def test_a_target_that_is_not_on_the_list_or_not_here_is_refused(
    server: Server, client: Any, target: str, words: str
) -> None:
    refused = client.run(**RUN, target=target)[-1]
    assert words in refused["message"]
    assert refused["hint"]
    assert not loaded(server)
    assert client.run(**RUN)[-1]["type"] == "done"


def test_a_target_without_room_is_refused_in_words(
    server: Server, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_targets, "available_bytes", lambda: 1 << 30)
    monkeypatch.setattr(other_targets, "_needed_bytes", lambda _settings, _progress: 3 << 29)
    refused = client.run(**RUN, target="toy:1")[-1]
    assert "toy:1 needs about 1.5 GiB" in refused["message"]
    assert "1.0 GiB are free" in refused["message"]
    assert client.run(**RUN)[-1]["type"] == "done"


def test_where_there_is_room_for_one_only_it_makes_room_for_the_next(
    server: Server, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_targets, "available_bytes", lambda: 0 if loaded(server) else 1 << 30)
    monkeypatch.setattr(other_targets, "_needed_bytes", lambda _settings, _progress: 1)
    for name in ("toy:1", "toy:2", "toy:1"):
        events = client.run(**RUN, target=name)
        assert events[-1]["type"] == "done"
        assert of(events, "loading")
        assert loaded(server) == {name}


def test_a_client_that_leaves_while_another_target_is_loading_leaves_nothing(
    server: Server, client: Any, connected: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[str] = []

    def endless(_settings: object, _clock: object, progress: Callable[[str, float | None], None]) -> None:
        try:
            while True:
                progress("loading toy:1", None)
                time.sleep(0.005)
        finally:
            ends.append("ended")

    monkeypatch.setattr(Session, "load", endless)
    client.send(**RUN, target="toy:1")
    assert client.until("loading", "error")[-1]["target"] == "toy:1"
    waiting = connected()
    waiting.send(**RUN)
    assert waiting.receive()["type"] == "queued"
    client.vanish()

    assert waiting.until("done", "error")[-1]["type"] == "done"
    assert ends == ["ended"]
    assert not loaded(server)


def test_a_cancelled_run_ends_its_loading_and_the_socket_takes_the_next(
    server: Server, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def endless(_settings: object, _clock: object, progress: Callable[[str, float | None], None]) -> None:
            while True:
                progress("loading toy:1", None)
                time.sleep(0.005)

        patched.setattr(Session, "load", endless)
        client.send(**RUN, target="toy:1")
        client.until("loading", "error")
        client.send(type="cancel")
        assert client.until("done", "error")[-1]["code"] == "cancelled"
        poll(lambda: host(server).queue.idle, "the models are free")
    assert client.run(**RUN, target="toy:1")[-1]["type"] == "done"


def test_a_failed_loading_is_reported_and_closes_what_was_opened(
    server: Server, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    def failing(*_arguments: object) -> None:
        raise MemoryError

    def closing(session: Session) -> None:
        closed.append(session.target.description.name)

    with monkeypatch.context() as patched:
        patched.setattr("speculatoviz.measure.calibration.Calibration.measure_passes", failing)
        patched.setattr(Session, "close", closing)
        refused = client.run(**RUN, target="toy:1")[-1]
        assert "not enough memory for toy:1" in refused["message"]
    assert closed == ["toy-1"]
    assert not loaded(server)
    assert client.run(**RUN)[-1]["type"] == "done"


def test_runs_of_the_servers_own_target_wait_while_another_computes(
    server: Server, client: Any, connected: Callable[..., Any], toys: Toys
) -> None:
    toys.gate.limit(1)
    client.send(**RUN)
    toys.gate.wait_until_blocked()
    other = connected()
    other.send(**RUN, target="toy:1")
    assert other.receive()["type"] == "queued"
    toys.gate.open()
    assert client.until("done", "error")[-1]["type"] == "done"
    assert other.until("done", "error")[-1]["type"] == "done"


def test_other_routes_refuse_to_change_the_target(server: Server) -> None:
    body = {"run": {"prompt": "once", "target": "toy:1"}, "prompt_digest": "0" * 64, "output_ids": [1]}
    answer = server._http.post(f"http://127.0.0.1:{server.port}/api/draft-alone", json=body)
    assert answer.status_code == 400
    assert "another target" in answer.json()["message"]
