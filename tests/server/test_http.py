"""The HTTP API: its answers while models load, after they failed to load, and when they are ready."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import PROFILES, RANGES, Settings
from speculatoviz.core.progress import Progress
from speculatoviz.core.rules import RULES
from speculatoviz.drafters.about import DRAFTERS, WITH_MODEL
from speculatoviz.errors import CancelledError, ModelError
from speculatoviz.measure.calibration import Calibration
from speculatoviz.measure.noise import Noise, NoiseTable
from speculatoviz.measure.plain import PlainRun
from speculatoviz.server import app
from speculatoviz.server.limits import RunLimits
from speculatoviz.session.planning import DEEPEST
from speculatoviz.session.session import Session
from support.live_server import PATIENCE_S, Server, Toys, poll
from support.raw_socket import raw_socket


def test_health_of_a_ready_server_names_models_and_measurements(server: Server) -> None:
    health = server.health()

    assert (health["status"], health["stage"], health["progress"]) == ("ready", "ready", 1.0)
    assert health["target_model"]["name"] == "toy-0"
    assert health["draft_model"]["name"] == "toy-0~7"
    assert (health["target_loaded"], health["draft_loaded"], health["drafter"]) == (True, True, "model")
    assert (health["message"], health["hint"]) == (None, None)
    assert 1 <= health["default_k"] <= 16
    assert (health["baseline"]["kind"], health["baseline"]["tokens"]) == ("startup", 16)
    assert health["exactness"]["label"] == "exact"
    assert health["runs_waiting"] == 0


def test_while_models_load_health_reports_progress_and_a_start_is_refused(
    serve: Callable[..., Server], toys: Toys
) -> None:
    go, waiting = threading.Event(), threading.Event()

    def load(report: Progress) -> Session:
        report("downloading toy:0", 0.25)
        waiting.set()
        assert go.wait(PATIENCE_S)
        return toys.load(report)

    server = serve(load=load)
    assert waiting.wait(PATIENCE_S)
    try:
        health = server.health()
        assert (health["status"], health["stage"], health["progress"]) == ("loading", "downloading toy:0", 0.25)
        assert (health["target_loaded"], health["target_model"], health["baseline"]) == (False, None, None)
        assert server.post("/api/test-draft").status_code == 503
        settings = server.get("/api/settings").json()
        assert (settings["defaults"]["k"], settings["pass_times"]) == (None, [])
        assert {(d["available"], d["reason"]) for d in settings["drafters"]} == {(False, "The models are not loaded.")}
        with server.client() as client:
            client.send(prompt="once upon a time")
            error = client.refused()
            assert error["code"] == "model"
            assert "downloading toy:0" in error["message"]
            go.set()
            server.wait_until("ready")
            assert client.run()[-1]["type"] == "done"
    finally:
        go.set()


def test_stopping_while_models_load_ends_the_loading(serve: Callable[..., Server], toys: Toys) -> None:
    waiting, ended, too_late = threading.Event(), threading.Event(), threading.Event()

    def load(report: Progress) -> Session:
        waiting.set()
        while not too_late.wait(0.001):  # a download of any length
            try:
                report("downloading", None)
            except CancelledError:
                ended.set()
                raise
        return toys.load(report)

    server = serve(load=load)
    assert waiting.wait(PATIENCE_S)
    server.ask_to_stop()
    in_time = ended.wait(PATIENCE_S)
    too_late.set()
    assert in_time
    server.stop()
    assert server.refuses_connections()


@pytest.mark.parametrize(
    ("failure", "words", "hint"),
    [
        (ModelError("The file is torn.", "Fetch it again."), "The file is torn.", "Fetch it again."),
        (ZeroDivisionError("oh"), "oh", "log"),
        (RuntimeError("no such tensor"), "no such tensor", "log"),
    ],
    ids=["in words", "unexpected", "of a runtime"],
)
def test_models_that_cannot_be_loaded_are_explained(
    serve: Callable[..., Server], failure: Exception, words: str, hint: str
) -> None:
    def load(report: Progress) -> Session:
        raise failure

    server = serve(load=load)
    health = server.wait_until("failed")
    assert words in health["message"]
    assert hint in health["hint"]
    assert not health["target_loaded"]
    with server.client() as client:
        for _ in range(2):
            client.send(prompt="once upon a time")
            error = client.refused()
            assert error["code"] == "model"
            assert words in error["message"]
    answer = server.post("/api/test-draft")
    assert (answer.status_code, answer.json()["code"]) == (503, "model")


def test_settings_offer_every_range_default_profile_and_drafter(server: Server) -> None:
    settings = server.get("/api/settings").json()

    assert {n: (r["min"], r["max"], r["step"]) for n, r in settings["ranges"].items()} == {
        n: (r.minimum, r.maximum, r.step) for n, r in RANGES.items()
    }
    assert settings["ranges"].keys() | {"drafter", "rule", "policy", "deepest"} == settings["defaults"].keys()
    assert settings["defaults"]["max_tokens"] == 24
    ranges = {**RANGES, "deepest": RANGES["k"]}
    for name, value in settings["defaults"].items():
        assert name in {"drafter", "rule", "policy"} or ranges[name].minimum <= value <= ranges[name].maximum
    assert [p["name"] for p in settings["profiles"]] == list(PROFILES)
    assert settings["profile"] == "custom"
    assert [d["name"] for d in settings["drafters"]] == list(DRAFTERS)
    assert {"model", "ngram", "mixture", "multi", "hybrid"} <= {
        d["name"] for d in settings["drafters"] if d["available"]
    }
    assert {r["name"]: r["label"] for r in settings["rules"]} == {name: info.label for name, info in RULES.items()}
    assert [p["tokens"] for p in settings["pass_times"]] == sorted(p["tokens"] for p in settings["pass_times"])


@pytest.mark.parametrize(
    ("flags", "policy", "deepest", "drafters"),
    [
        ({}, "auto", DEEPEST, ["model", "suffix"]),
        ({"k": 5}, "fixed", 5, ["model", "suffix"]),
        ({"policy": "auto", "k": 5}, "auto", 5, ["model", "suffix"]),
        ({"policy": "adaptive", "drafter": "ngram"}, "adaptive", DEEPEST, ["ngram"]),
    ],
)
def test_settings_contain_what_a_policy_may_choose(
    serve: Callable[..., Server],
    tmp_path: Path,
    flags: dict[str, Any],
    policy: str,
    deepest: int,
    drafters: list[str],
) -> None:
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(tmp_path), **flags)
    server = serve(settings=settings, load=lambda report: Session.load(settings, time.perf_counter, report))
    server.wait_until("ready")
    answer = server.get("/api/settings").json()

    assert (answer["defaults"]["policy"], answer["defaults"]["deepest"]) == (policy, deepest)
    assert answer["auto_drafters"] == drafters


def test_without_a_draft_model_the_model_drafter_is_not_available(serve: Callable[..., Server], tmp_path: Path) -> None:
    settings = Settings(_env_file=None, target="toy:0", draft="none", cache_dir=str(tmp_path))
    server = serve(settings=settings, load=lambda report: Session.load(settings, time.perf_counter, report))
    health = server.wait_until("ready")
    drafters = server.get("/api/settings").json()["drafters"]
    offered = {d["name"] for d in drafters if d["available"]}

    assert (health["draft_model"], health["draft_loaded"], health["drafter"]) == (None, False, "ngram")
    assert "ngram" in offered
    assert not offered & WITH_MODEL
    with server.client() as client:
        client.send(prompt="once upon a time", drafter="model")
        refused = client.refused()
    assert "no draft model is loaded" in refused["message"]
    assert "ngram" in refused["hint"]
    reasons = {d["name"]: d["reason"] for d in drafters}
    assert {name for name, reason in reasons.items() if reason is None} == offered
    assert reasons["model"] == "No draft model is loaded. Start with `--draft NAME`."


def test_test_draft_reports_tokens_with_their_times(server: Server) -> None:
    answer = server.post("/api/test-draft?prompt=once upon a time&k=5").json()
    with server.client() as client:
        events = client.run(k=5)

    drafted = [e for e in events if e["type"] == "draft_token" and e["round"] == 0]
    assert [t["token_id"] for t in answer["tokens"]] == [e["token_id"] for e in drafted]
    assert len(answer["tokens"]) == 5
    assert all(t["draft_prob"] == 1.0 and t["draft_time_ms"] >= 0 for t in answer["tokens"])
    assert answer["draft_ms"] == pytest.approx(sum(t["draft_time_ms"] for t in answer["tokens"]))
    assert answer["tps"] == pytest.approx(5000 / answer["draft_ms"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("prompt=once&k=0", 422),
        ("prompt=once&k=17", 422),
        ("prompt=once&k=x", 422),
        ("prompt=", 400),
        ("prompt=ÄÖ", 400),
        ("prompt=" + "a" * 700, 400),
    ],
)
def test_test_draft_refuses_bad_requests(server: Server, query: str, status: int) -> None:
    answer = server.post(f"/api/test-draft?{query}")

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["message"]
        assert answer.json()["hint"]
    assert server.post("/api/test-draft?prompt=once").status_code == 200


def test_test_draft_waits_its_turn(server: Server, toys: Toys) -> None:
    with server.client() as client:
        toys.gate.limit(2)
        client.send(prompt="once upon a time", k=2, ignore_eos=True, max_tokens=50)
        toys.gate.wait_until_blocked()
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(server.post("/api/test-draft?prompt=a").status_code))
        asking.start()
        poll(lambda: server.health()["runs_waiting"] == 1, "the draft waits in the queue")
        assert answers == []
        toys.gate.open()
        assert client.last("done", "error")["type"] == "done"
        asking.join(PATIENCE_S)
        assert answers == [200]


def test_while_idle_every_batch_size_is_measured(serve: Callable[..., Server]) -> None:
    server = serve(runs=RunLimits(idle_s=0.001))
    server.wait_until("ready")

    def measured() -> list[int]:
        return [p["tokens"] for p in server.get("/api/settings").json()["pass_times"]]

    poll(lambda: measured() == list(range(1, 18)), "all batch sizes are known")
    with server.client() as client:
        assert client.run()[-1]["type"] == "done"


def test_measuring_that_fails_leaves_the_server_working(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def measure_next(calibration: object) -> bool:
        raise OSError("the disk is full")

    monkeypatch.setattr(Calibration, "measure_next", measure_next)
    with caplog.at_level(logging.ERROR):
        server = serve(runs=RunLimits(idle_s=0.001))
        server.wait_until("ready")
        poll(lambda: "measuring pass times failed" in caplog.text, "the failure is logged")
    with server.client() as client:
        assert client.run()[-1]["type"] == "done"
    server.stop()
    assert "Traceback" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("uvicorn"))


def test_the_page_is_served_where_it_was_built(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<h1>here</h1>")
    monkeypatch.setattr(app, "PAGE", page)

    assert serve().get("/").text == "<h1>here</h1>"


@pytest.mark.parametrize("place", ["/", "/learn", "/compare", "/classroom"])
def test_without_a_built_page_every_place_answers_what_to_do(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(app, "PAGE", tmp_path)
    answer = serve().get(place)

    assert answer.status_code == 503
    assert "make page" in answer.text


def test_no_answer_contains_a_figure_that_is_not_finite(server: Server) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} was sent")

    answers = [server.get("/api/health"), server.get("/api/settings"), server.post("/api/test-draft?prompt=once")]
    assert all(json.loads(answer.text, parse_constant=refuse) for answer in answers)


# ---- figures that are not numbers ----

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def nan_server(serve: Callable[..., Server], toys: Toys) -> Server:
    """A server whose model computed NaN while it was measured, and whose pass times were stored so."""

    def load(report: Progress) -> Session:
        session = toys.load(report)
        known = session.calibration
        assert isinstance(known, Calibration)
        known.noise = NoiseTable()
        known.noise.add(Noise(NAN, NAN, 0.5, 16, 40, 2))
        known.baseline = PlainRun(INF, 16, 40, 0.0, "startup")
        known.target_times._ms = {1: 1.0, 2: NAN, 3: INF}
        return session

    server = serve(load=load)
    server.wait_until("ready")
    return server


def test_figures_that_are_not_finite_are_null(nan_server: Server) -> None:
    health = nan_server.health()

    assert (health["status"], health["noise_floor"], health["baseline"]) == ("ready", None, None)
    assert nan_server.get("/api/settings").json()["pass_times"] == [{"tokens": 1, "ms": 1.0}]


def test_a_run_starts_although_measurements_are_not_finite(nan_server: Server) -> None:
    with nan_server.client() as client:
        events = client.run()

    assert (events[0]["noise_floor"], events[0]["baseline"]) == (None, None)
    assert (events[-1]["type"], events[-1]["metrics"]["overall_speedup"]) == ("done", None)


def test_a_client_that_is_gone_leaves_the_queue(server: Server, toys: Toys) -> None:
    toys.gate.limit(1)
    with server.client() as client:
        client.send(prompt="once upon a time", k=0, max_tokens=4)
        toys.gate.wait_until_blocked()
        with raw_socket(server.port, b"POST /api/test-draft?prompt=a HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            poll(lambda: server.health()["runs_waiting"] == 1, "the draft waits")
        poll(lambda: server.health()["runs_waiting"] == 0, "it is gone")
        toys.gate.open()
        assert client.last("done", "error")["type"] == "done"
