"""A session with a verifier as its target: what it reports, measures and refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.core.types import Exactness, Request
from speculatoviz.errors import TargetError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.session.session import Session
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from speculatoviz.telemetry.events import Done, Event, Metrics, Started, VerifyResult
from support import toy_session
from support.verifier import VerifierServer, serving


@pytest.fixture(scope="module")
def verifier() -> Iterator[VerifierServer]:
    with serving(ToyModel(0, ALPHABET), VerifierOptions(context_tokens=256)) as server:
        yield server


@pytest.fixture
def load(verifier: VerifierServer, tmp_path: Path) -> Iterator[Any]:
    sessions: list[Session] = []

    def loaded(**settings: Any) -> Session:
        sessions.append(toy_session.load(tmp_path, **{"target": f"verifier:{verifier.url}"} | settings))
        return sessions[-1]

    yield loaded
    for session in sessions:
        session.close()


def one(events: list[Event], kind: type[Any]) -> Any:
    [event] = [event for event in events if isinstance(event, kind)]
    return event


def test_a_run_tells_where_its_target_is_and_what_it_has_to_beat(load: Any, verifier: VerifierServer) -> None:
    started = one(toy_session.run(load()), Started)

    assert started.exactness.label == "exact"
    assert (started.remote.url, started.remote.mode, started.remote.calls_per_round) == (verifier.url, "verifier", 1)
    assert started.remote.rtt_ms > 0
    assert ("context", "256 tokens") in {(f.question, f.answer) for f in started.remote.findings}
    assert (started.baseline.kind, started.baseline.tokens) == ("streaming", 16)
    assert (started.per_call_baseline.kind, started.per_call_baseline.tokens) == ("per_call", 16)
    assert started.target_model.runtime == "toy, remote"
    assert started.target_model.context_tokens == 256


def test_drafters_that_need_the_target_itself_say_so(load: Any) -> None:
    session = load()

    assert set(session.missing) == {"lookahead", "medusa", "eagle", "eagle3", "p-eagle", "dflash", "mtp", "selfspec"}
    for reason in session.missing.values():
        assert "a remote target" in reason.why
        assert reason.remedy == "Load the target on this machine, with `--target NAME`."


def test_every_round_tells_what_it_took(load: Any) -> None:
    events = toy_session.run(load())
    rounds = [event for event in events if isinstance(event, Metrics)]
    done = one(events, Done)

    for event in rounds:
        parts = event.draft_ms + event.verify_ms + event.network_ms + event.evidence_ms + event.other_ms
        assert event.round_ms == pytest.approx(parts)
        assert event.network_ms > 0
        assert (event.round_usage.calls, event.exactness, event.round_total_variation_bound) == (1, "exact", 0.0)
        assert event.usage.sent_bytes > 0 < event.usage.received_bytes
    assert done.metrics.usage.calls == len(rounds)
    assert done.metrics.usage.sent_bytes == sum(event.round_usage.sent_bytes for event in rounds)
    assert done.metrics.per_call_speedup == pytest.approx(done.metrics.effective_tps / done.metrics.per_call_tps)


@pytest.mark.parametrize("overlap", [True, False])
def test_greedy_text_and_verdicts_are_those_of_a_target_in_this_process(
    load: Any, tmp_path: Path, overlap: bool
) -> None:
    local = toy_session.load(tmp_path)
    here, there = toy_session.run(local, temperature=0), toy_session.run(load(overlap=overlap), temperature=0)
    local.close()

    def verdicts(events: list[Event]) -> list[tuple[object, ...]]:
        results = [event for event in events if isinstance(event, VerifyResult)]
        return [(r.round, r.node, r.status, r.token_id, r.target_prob, r.text) for r in results]

    assert one(here, Done).token_ids == one(there, Done).token_ids
    assert verdicts(here) == verdicts(there)


def test_without_a_draft_model_the_vocabulary_comes_from_the_verifier(load: Any) -> None:
    session = load(draft="none")
    done = one(toy_session.run(session, temperature=0, ignore_eos=True), Done)

    assert session.drafter == "ngram"
    assert done.total_tokens == 24


def test_a_plain_run_is_one_call_per_token_and_leaves_the_streaming_baseline(load: Any) -> None:
    session = load()
    before = session.calibration.baseline
    done = one(toy_session.run(session, k=0, ignore_eos=True), Done)

    assert session.calibration.baseline is before
    assert session.calibration.per_call.tps == done.metrics.overall_tps


def test_a_draft_model_of_another_vocabulary_is_translated(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "speculatoviz.session.targets.load_draft",
        lambda *_: ToyModel(0, [b"!!", *reversed(ALPHABET)], mix=(7, 0.5)),
    )
    session = load()
    events = toy_session.run(session, temperature=1.0)

    assert one(events, Started).translated
    assert 0 < one(events, Done).metrics.kept_mass < 1


def test_an_address_where_nothing_listens_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "speculatoviz.targets.verifier.target.ConnectionTimeouts", partial(ConnectionTimeouts, first_s=0.1)
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(TargetError, match="cannot be reached") as refused:
        toy_session.load(tmp_path, target=f"verifier:ws://127.0.0.1:{port}")
    assert refused.value.hint


def test_without_a_key_it_does_not_listen_to_the_world() -> None:
    result = CliRunner().invoke(app, ["verifier", "--target", "toy:0", "--host", "0.0.0.0"])  # noqa: S104

    assert result.exit_code == 1
    assert "Without a key the verifier does not listen on 0.0.0.0." in result.stderr
    assert "--api-key" in result.stderr


def test_a_verifier_of_a_verifier_is_refused() -> None:
    result = CliRunner().invoke(app, ["verifier", "--target", "verifier:ws://127.0.0.1:1"])

    assert result.exit_code == 1
    assert "is remote already" in result.stderr


def test_a_sampling_that_cannot_be_verified_there_is_refused_before_a_run(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = load()

    def refuse(request: Request) -> Exactness:
        if request.sampling.temperature == 0.7:
            raise TargetError("Not at this temperature.", "Choose 0.")
        return Exactness("exact", "")

    monkeypatch.setattr(session.target, "claim", refuse)
    with pytest.raises(TargetError, match="Not at this temperature"):
        toy_session.run(session, temperature=0.7)
    assert one(toy_session.run(session, temperature=0), Done).finish_reason in {"length", "stop"}
