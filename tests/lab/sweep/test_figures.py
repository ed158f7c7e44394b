"""The figures of a run from its events agree with those of the run itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.token_classes import token_classes
from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.figures import run_of
from speculatoviz.lab.sweep.records import SweepRun
from speculatoviz.telemetry.events import Done, Event, Metrics, VerifyResult
from speculatoviz.telemetry.mapping import TokenNames
from support import toy_session


def figures(events: list[Event], entropies: tuple[float | None, ...] = ()) -> SweepRun:
    return run_of(SweepRun("coding", 0, 0.0, Cell("model", k=3)), events, entropies)


@pytest.mark.parametrize(
    "start", [{"k": 3}, {"k": 2, "nodes": 6}, {"k": 3, "temperature": 1.0, "rule": "block"}], ids=str
)
def test_acceptance_by_position_is_that_of_the_metrics(start: dict[str, object], tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, max_tokens=64, evidence=False, policy="fixed", ignore_eos=True, **start)
    session.close()
    run, metrics = figures(events), next(event.metrics for event in events if isinstance(event, Done))

    drafting = sum(drafted > 0 for drafted in run.drafted)
    for place, (unconditional, conditional) in enumerate(
        zip(metrics.per_position_acceptance_rate, metrics.conditional_acceptance_rate, strict=True)
    ):
        accepted = sum(count > place for count in run.accepted)
        assert accepted / drafting == pytest.approx(unconditional)
        assert conditional is not None
        tested = [a for p, a in zip(run.tested_position, run.tested_accepted, strict=True) if p == place]
        assert sum(tested) == accepted or start.get("rule") == "block"
        rounding = 0.05 if start.get("rule") == "block" else 1e-9  # there the last round is counted differently
        assert accepted / len(tested) == pytest.approx(conditional, abs=rounding)
    assert run.tokens == metrics.tokens
    prefill_ms = sum(event.draft_prefill_ms for event in events if isinstance(event, Metrics))
    assert run.tps == pytest.approx(1000 * metrics.tokens / (sum(run.round_ms) + prefill_ms))
    assert sum(run.round_ms) == pytest.approx(run.draft_ms + run.verify_ms + run.network_ms + run.other_ms)


def test_tokens_of_a_round_arrive_together(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    run = figures(toy_session.run(session, max_tokens=32, ignore_eos=True))
    session.close()

    assert len(run.gaps_ms) == run.tokens - 1
    assert run.gaps_ms.count(0.0) == run.tokens - len(run.emitted)
    assert sum(run.gaps_ms) == pytest.approx(sum(run.round_ms[1:]))


def test_a_tested_token_has_the_entropy_and_the_context_of_its_place(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, max_tokens=32, ignore_eos=True)
    session.close()
    done = next(event for event in events if isinstance(event, Done))
    run = figures(events, tuple(float(place) for place in range(done.total_tokens)))
    emitted = np.cumsum([0, *(event.round_emitted for event in events if isinstance(event, Metrics))])
    expected = [
        float(emitted[event.round] + event.position)
        for event in events
        if isinstance(event, VerifyResult) and event.status in {"accepted", "rejected"}
    ]

    assert list(run.tested_entropy) == sorted(expected)
    assert [tokens - run.prompt_tokens for tokens in run.tested_context_tokens] == sorted(expected)


def test_a_tested_token_has_the_class_of_the_token_that_the_text_has_there(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, max_tokens=48, ignore_eos=True)
    names = TokenNames(session.target.tokenizer)
    text = [names.of(token) for token in next(e for e in events if isinstance(e, Done)).token_ids]
    session.close()
    run, expected = figures(events), token_classes(text)

    places = [tokens - run.prompt_tokens for tokens in run.tested_context_tokens]
    assert list(run.tested_token_class) == [expected[place] for place in places]
    assert len(set(run.tested_token_class)) > 2
    accepted_alone = [token for token, kept in zip(run.tested_token_class, run.tested_accepted, strict=True) if kept]
    assert len(accepted_alone) < len(run.tested_token_class)  # rejected tokens have a class as well


def test_a_plain_run_tests_nothing(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, k=0)
    session.close()
    run = run_of(SweepRun("coding", 0, 0.0, PLAIN), events)

    assert run.tested_position == ()
    assert set(run.emitted) == {1}
    assert run.speedup is None
