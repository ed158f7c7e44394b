"""Runs at the same time in one session: contexts of their own, one prompt cache, and figures that name the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import ContextFullError
from speculatoviz.models.runtimes.toy import ToyContext, ToyModel
from speculatoviz.session import places
from speculatoviz.session.places import concurrency, nearest
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.events import Done, Event, Metrics
from speculatoviz.telemetry.messages import Start
from support import toy_session
from support.joint import SwappedTurns, together
from support.toy_pair import no_clock

TEXTS = ("once upon a time", "write a test", "hello there", "a b c a b c a b c")
KINDS = (
    {"k": 3},
    {"k": 4, "temperature": 0.9, "seed": 4},
    {"k": 0, "temperature": 1.2, "seed": 5},
    {"k": 3, "drafter": "ngram"},
    {"k": 5, "drafter": "suffix", "temperature": 0.4, "seed": 1},
    {"k": 2, "drafter": "mixture", "temperature": 0.9, "seed": 2},
    {"k": 3, "nodes": 7},
    {"policy": "auto"},
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = toy_session.load(tmp_path)
    yield session
    session.close()


def run(session: Session, number: int, place: int = 0) -> list[Event]:
    kind = KINDS[number % len(KINDS)]
    start = Start(prompt=TEXTS[number % len(TEXTS)], ignore_eos=True, max_tokens=40, **kind)
    prepared = session.prepare(start)
    return list(session.run(f"run {number}", prepared, lambda: False, place=session.places[place]))


def end(events: Sequence[Event]) -> Done:
    done = events[-1]
    assert isinstance(done, Done)
    return done


def departures(session: Session) -> list[int]:
    """Of eight runs at the same time, those whose tokens are not the ones alone."""
    alone = [end(run(session, number)).token_ids for number in range(8)]
    session.open_places(8)
    found = together(session.turns, [partial(run, session, number, number) for number in range(8)])
    assert all(end(events).metrics.shared_rounds > 0 for events in found)
    return [number for number in range(8) if end(found[number]).token_ids != alone[number]]


def test_runs_of_every_kind_have_the_tokens_that_they_have_alone(session: Session) -> None:
    assert departures(session) == []


def test_a_session_that_swaps_the_rows_of_two_runs_is_caught(session: Session) -> None:
    session.turns.__class__ = SwappedTurns

    assert departures(session)


def test_the_events_name_the_runs_that_share_the_models(session: Session) -> None:
    session.open_places(3)
    found = together(session.turns, [partial(run, session, 0, place) for place in range(3)])
    metrics = [event for event in found[0] if isinstance(event, Metrics)]
    first = metrics[0]

    assert first.runs == 3
    assert first.pass_rows == 3 * (first.round_drafted + 1)
    assert end(found[0]).metrics.shared_rounds == len(metrics)
    alone = [event for event in run(session, 0) if isinstance(event, Metrics)]
    assert {(event.runs, event.pass_rows, event.shared_rounds) for event in alone} == {(1, None, 0)}


def test_a_plain_run_beside_others_is_no_baseline(session: Session) -> None:
    before = session.calibration.baseline
    session.open_places(2)
    together(session.turns, [partial(run, session, 2, place) for place in range(2)])
    assert session.calibration.baseline is before

    run(session, 2)
    assert session.calibration.baseline is not before


# ---- the prompt cache ----


def prefilled(session: Session, prompt: str, place: int) -> int:
    """How many tokens of a prompt a run at a place has computed."""
    window = session.places[place].target.window
    assert window is not None
    prepared = session.prepare(Start(prompt=prompt, k=2, max_tokens=4))
    list(session.run("r", prepared, lambda: False, place=session.places[place]))
    return len(prepared.request.prompt) - 1 - window.reused


def test_a_run_continues_from_what_another_place_holds(session: Session) -> None:
    session.open_places(3)
    long = "a long story " * 12

    assert prefilled(session, long, 0) > 100
    assert prefilled(session, long + "and more", 1) < 20
    assert prefilled(session, "another one " * 10, 2) > 100


def test_a_place_is_chosen_by_what_it_holds_of_the_prompt(session: Session) -> None:
    session.open_places(3)
    prefilled(session, "hello hello hello", 1)
    prepared = session.prepare(Start(prompt="hello hello there"))

    assert nearest(session.places, prepared.request.prompt) is session.places[1]
    assert nearest(session.places, (27, 27)) is session.places[0]


# ---- how many ----


class Narrow(ToyModel):
    """A toy with room for three contexts."""

    opened = 0

    def open(self, size: int) -> ToyContext:
        if self.opened == 3:
            raise ContextFullError("There is room for three.", "Close one.")
        self.opened += 1
        return super().open(size)


def test_there_are_as_many_places_as_the_models_have_room_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(_env_file=None, target="toy:0", draft="none", cache_dir=str(tmp_path))
    session = Session(settings, open_local(Narrow(0), None, no_clock), None, no_clock)
    session.open_places(5)

    assert len(session.places) == 3
    assert "3 runs at the same time instead of 5. There is room for three." in caplog.text


def no_progress(stage: str, share: float | None) -> None:
    pass


def asked(**settings: object) -> int:
    return concurrency(Settings(_env_file=None, **settings), no_progress)


def test_the_default_suits_the_profile_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    per_token = {"smollm2-135m-instruct": 23_040, "qwen2.5-coder-1.5b-instruct": 28_672}
    monkeypatch.setattr(places, "cache_bytes", lambda _settings, name, _progress: per_token.get(name, 12_288))
    monkeypatch.setattr(places, "available_bytes", lambda: 16 << 30)
    assert (asked(profile="smol"), asked(profile="qwen")) == (8, 4)
    monkeypatch.setattr(places, "available_bytes", lambda: 1 << 30)
    assert (asked(profile="smol"), asked(profile="qwen")) == (2, 1)
    assert asked(profile="qwen", concurrency=16) == 16


def test_one_run_at_a_time_where_runs_share_nothing_unless_more_are_asked_for(tmp_path: Path) -> None:
    assert asked(target="vllm:http://localhost:1#m") == 1
    assert asked(target="toy:0", draft="none", batch_invariant=True) == 1
    assert asked(target="vllm:http://localhost:1#m", concurrency=2) == 2


def test_a_verifier_is_shared_with_other_clients() -> None:
    assert asked(target="verifier:ws://localhost:1", draft="toy:0") == 4
    assert asked(target="verifier:ws://localhost:1", draft="none", concurrency=7) == 7
