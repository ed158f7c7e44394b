"""Runs at the same time share one remote target: each has a session and a connection of its own, and its own text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import TargetError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.models.turns import Turns
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.session.session import Session
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from speculatoviz.targets.verifier.target import VerifierTarget
from speculatoviz.telemetry.events import Done, Event, Metrics
from speculatoviz.telemetry.messages import Start
from support import toy_session, verifier_process
from support.api_client import FIXED, TEXT, documents, only
from support.joint import together
from support.live_server import PATIENCE_S, Server, poll
from support.toy_pair import no_clock
from support.verifier import serving

TEXTS = ("once upon a time", "write a test", "hello there", "a b c a b c a b c")
KINDS: tuple[dict[str, Any], ...] = (
    {"k": 3},
    {"k": 4, "temperature": 0.9, "seed": 4},
    {"k": 3, "drafter": "ngram"},
    {"k": 0, "temperature": 1.2, "seed": 5},
)
RUNS = len(KINDS)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a verifier in a process of its own."""
    process = verifier_process.started(0)
    try:
        yield verifier_process.address(process)
    finally:
        verifier_process.end(process)


@pytest.fixture
def session(url: str, tmp_path: Path) -> Iterator[Session]:
    session = toy_session.load(tmp_path, target=f"verifier:{url}")
    yield session
    session.close()


def run(session: Session, number: int, place: int = 0, during: Callable[[int], None] = lambda _round: None) -> Done:
    """during: called after each round with its number."""
    start = Start(prompt=TEXTS[number], ignore_eos=True, max_tokens=30, **KINDS[number])
    events: list[Event] = []
    for event in session.run(f"run {number}", session.prepare(start), lambda: False, place=session.places[place]):
        events.append(event)
        if isinstance(event, Metrics):
            during(event.round)
    done = events[-1]
    assert isinstance(done, Done)
    return done


def departures(session: Session, during: Callable[[int, int], None] = lambda _number, _round: None) -> list[int]:
    """Of four runs at the same time, those whose tokens are not the ones alone. during: run and round."""
    alone = [run(session, number).token_ids for number in range(RUNS)]
    session.open_places(RUNS)
    assert len(session.places) == RUNS

    def work(number: int) -> list[int]:
        try:
            return run(session, number, number, partial(during, number)).token_ids
        except Exception:  # a broken twin may get no verdict at all
            return []

    found = together(session.turns, [partial(work, number) for number in range(RUNS)])
    return [number for number in range(RUNS) if found[number] != alone[number]]


def test_runs_at_the_same_time_have_the_texts_that_they_have_alone(session: Session) -> None:
    assert departures(session) == []


def test_runs_that_share_one_session_of_the_verifier_are_caught(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VerifierTarget, "another", lambda target: target)
    assert departures(session)
    del session.places[1:]  # they are the first one


def test_they_have_those_of_a_target_in_this_process(session: Session, tmp_path: Path) -> None:
    session.open_places(2)
    found = together(session.turns, [partial(run, session, number, number) for number in range(2)])
    local = toy_session.load(tmp_path)
    assert [done.token_ids for done in found] == [run(local, number).token_ids for number in range(2)]
    local.close()


def test_a_lost_connection_of_one_run_ends_none(session: Session) -> None:
    def lose(number: int, round: int) -> None:
        if number == 1 and round in {1, 3}:
            target = session.places[1].target
            assert isinstance(target, VerifierTarget)
            assert session.opened.loop is not None
            session.opened.loop.call(target._connection.drop)

    assert departures(session, lose) == []
    targets = [place.target for place in session.places]
    assert [isinstance(target, VerifierTarget) and target.connections for target in targets] == [1, 3, 1, 1]


def test_they_overlap_and_their_events_state_it(session: Session) -> None:
    session.open_places(2)
    baseline = session.calibration.per_call
    found = together(session.turns, [partial(run, session, 3, place) for place in range(2)])

    assert [done.metrics.shared_rounds > 0 for done in found] == [True, True]
    assert session.calibration.per_call is baseline  # times of two runs are none of one
    assert run(session, 3).metrics.shared_rounds == 0
    assert session.calibration.per_call is not baseline


def test_a_run_returns_to_the_session_that_holds_its_prompt(session: Session) -> None:
    session.open_places(3)
    run(session, 1, 2)
    held = [place.held(session.prepare(Start(prompt=TEXTS[1])).request.prompt) for place in session.places]
    assert held[2] > max(held[:2])


def test_there_are_no_more_places_than_the_verifier_has_sessions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(ToyModel(0, ALPHABET), VerifierOptions(context_tokens=256, sessions=2)) as server:
        session = toy_session.load(tmp_path, target=f"verifier:{server.url}")
        session.open_places(8)
        assert len(session.places) == 2
        session.close()
    assert "2 runs at the same time instead of 8" in caplog.text


def test_a_server_that_nobody_configured_takes_half_of_the_sessions(url: str, tmp_path: Path) -> None:
    assert len_of_places(url, tmp_path, asked=None) == 2  # of four
    assert len_of_places(url, tmp_path, asked=3) == 3


def len_of_places(url: str, folder: Path, asked: int | None) -> int:
    session = toy_session.load(folder, asked or 4, target=f"verifier:{url}", concurrency=asked)
    places = len(session.places)
    session.close()
    return places


# ---- sessions that nobody uses ----


def health(url: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(url.replace("ws", "http", 1) + "/health", trust_env=False).json()
    return found


@pytest.fixture(scope="module")
def two_sessions() -> Iterator[str]:
    """The address of a verifier with two sessions in a process of its own."""
    process = verifier_process.started(0, "127.0.0.1", 2)
    try:
        yield verifier_process.address(process)
    finally:
        verifier_process.end(process)


@pytest.fixture
def small(two_sessions: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The same address, for clients that keep an idle session for so many seconds."""
    monkeypatch.setattr(
        "speculatoviz.targets.verifier.target.ConnectionTimeouts", lambda: ConnectionTimeouts(idle_s=request.param)
    )
    return two_sessions


@pytest.mark.parametrize("small", [0.05], indirect=True)
def test_an_idle_session_is_free_for_other_clients_and_opened_again_when_it_is_needed(
    small: str, tmp_path: Path
) -> None:
    first, second = (toy_session.load(tmp_path, target=f"verifier:{small}") for _ in range(2))
    alone = [run(first, number).token_ids for number in range(2)]
    first.open_places(2)
    poll(lambda: health(small)["sessions_in_use"] == 0, "nobody uses a session")
    for _ in range(2):
        found = together(first.turns, [partial(run, first, number, number) for number in range(2)])
        assert [done.token_ids for done in found] == alone
        poll(lambda: health(small)["sessions_in_use"] == 0, "nobody uses a session")
        assert health(small)["sessions"] == 2  # their caches stay as long as nobody needs the place
        assert run(second, 0).token_ids == alone[0]
        poll(lambda: health(small)["sessions_in_use"] == 0, "nobody uses a session")
    first.close()
    second.close()


@pytest.mark.parametrize("small", [0.05], indirect=True)
def test_a_run_that_pauses_for_longer_goes_on_with_its_text(small: str, tmp_path: Path) -> None:
    session = toy_session.load(tmp_path, target=f"verifier:{small}")
    alone = [run(session, number).token_ids for number in range(2)]

    def pause(round: int) -> None:
        if round in {0, 2}:
            poll(lambda: health(small)["sessions_in_use"] == 0, "the session is free")

    assert [run(session, number, during=pause).token_ids for number in range(2)] == alone
    target = session.places[0].target
    assert isinstance(target, VerifierTarget)
    assert target.connections > 2
    session.close()


@pytest.mark.parametrize("small", [PATIENCE_S], indirect=True)
def test_a_client_that_keeps_its_idle_sessions_is_caught(small: str, tmp_path: Path) -> None:
    """The broken twin: the second client has measured its baseline, and its session is not free."""
    first, second = (toy_session.load(tmp_path, target=f"verifier:{small}") for _ in range(2))
    first.open_places(2)
    run(first, 0)
    with pytest.raises(TargetError, match="All 2 sessions of this verifier are in use"):
        run(first, 1, 1)
    first.close()
    second.close()


# ---- two clients of the API ----


def text(server: Server, number: int) -> str:
    fields: dict[str, Any] = {"ignore_eos": True, "max_tokens": 40, "speculation": FIXED}
    sampled = {"temperature": 0.0 if number % 2 else 0.8, "seed": number}
    return "".join(only(part)["text"] for part in documents(server, "completions", prompt=TEXT, **fields, **sampled))


def test_two_clients_of_the_api_are_served_what_each_is_served_alone(url: str, tmp_path: Path) -> None:
    named: dict[str, Any] = {"target": f"verifier:{url}", "draft": "toy:0~7", "store": "none"}
    settings = Settings(_env_file=None, cache_dir=str(tmp_path), concurrency=2, **named)
    server = Server(settings, lambda report: Session.load(settings, time.perf_counter, report, runs=2))
    try:
        server.wait_until("ready")
        alone = [text(server, number) for number in range(2)]
        with ThreadPoolExecutor(2) as clients:
            assert list(clients.map(partial(text, server), range(2))) == alone
        sessions = httpx.get(url.replace("ws", "http", 1) + "/health", trust_env=False).json()["sessions"]
        assert sessions == 2
    finally:
        server.stop()


# ---- turns while the network is waited for ----


class Waiting:
    """A target's call that ends when the test allows it."""

    def __init__(self, turns: Turns, aside: Callable[[], AbstractContextManager[None]] | None = None) -> None:
        self.loop, self.turns, self.go = LoopThread(), turns, threading.Event()
        self.loop.beside = turns
        self.waits = threading.Event()
        if aside is not None:
            turns.aside = aside  # type: ignore[method-assign]

    async def call(self) -> int:
        self.waits.set()
        while not self.go.is_set():
            await _soon()
        return 7


async def _soon() -> None:
    import asyncio

    await asyncio.sleep(0.001)


def computes_meanwhile(waiting: Waiting) -> bool:
    """Whether another thread has its turn while one waits for the network."""
    computed = threading.Event()

    def wait() -> None:
        with waiting.turns.turn():
            assert waiting.loop.call(waiting.call) == 7

    def compute() -> None:
        with waiting.turns.turn():
            computed.set()

    threads = [threading.Thread(target=wait, daemon=True), threading.Thread(target=compute, daemon=True)]
    threads[0].start()
    assert waiting.waits.wait(PATIENCE_S)
    threads[1].start()
    poll(lambda: computed.is_set() or waiting.turns.runs == 2, "it came")
    found = computed.wait(0.5)
    waiting.go.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    waiting.loop.close()
    assert waiting.turns.runs == 1
    return found


def test_others_draft_while_a_run_waits_for_its_target() -> None:
    assert computes_meanwhile(Waiting(Turns(no_clock)))


def test_a_run_that_keeps_its_turn_while_it_waits_is_caught() -> None:
    assert not computes_meanwhile(Waiting(Turns(no_clock), nullcontext))
