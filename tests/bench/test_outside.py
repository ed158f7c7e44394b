"""The share of a round outside forward passes, by hand and on a session whose passes take a known time."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest

from speculatoviz.bench.outside import PassClock, outside_passes, shares
from speculatoviz.core.rounds import Times
from support import toy_session
from support.rounds import make_round, times

ROUNDS = [make_round(2, 1, index=index, measured=times(2.0, 5.0)) for index in range(3)]  # of 10 ms each


def test_the_first_round_does_not_count_because_its_passes_contain_the_prompts() -> None:
    found = shares(ROUNDS, [900.0, 908.0, 917.0], drafts_count=False)

    assert found == pytest.approx({"round_ms": 10.0, "passes_ms": 8.5, "overhead_share": 0.15})


def test_what_a_head_drafts_counts_as_a_pass() -> None:
    found = shares(ROUNDS, [900.0, 905.0, 910.0], drafts_count=True)

    assert found["passes_ms"] == pytest.approx(7.0)
    assert found["overhead_share"] == pytest.approx(0.3)


def test_a_single_round_gives_nothing() -> None:
    assert all(map(math.isnan, shares(ROUNDS[:1], [900.0], drafts_count=False).values()))


def test_a_long_prefill_changes_nothing() -> None:
    long = make_round(2, 1, measured=Times(2.0, 5.0, 0.0, 1.0, 2.0, prefill_ms=5000.0))

    assert shares([long, *ROUNDS[1:]], [900.0, 908.0, 917.0], drafts_count=False)["overhead_share"] == pytest.approx(
        0.15
    )


def test_passes_of_target_and_draft_are_timed_in_real_rounds_and_put_back(tmp_path: Path) -> None:
    with closing(toy_session.load(tmp_path)) as session:
        assert session.draft_model is not None
        forward = session.draft_model.forward
        found = outside_passes(session, 3, 24, 0.0, "once upon a time")

        assert 0.0 < found["passes_ms"] < found["round_ms"]
        assert found["overhead_share"] == pytest.approx(1.0 - found["passes_ms"] / found["round_ms"])
        assert session.draft_model.forward == forward


def test_a_clock_counts_the_time_within_passes_alone(tmp_path: Path) -> None:
    ticks = iter([1.0, 1.25, 7.0, 7.5])
    with closing(toy_session.load(tmp_path)) as session:
        model = session.opened.model
        assert model is not None
        with PassClock(model, lambda: next(ticks)) as clock:
            model.forward([])
            model.forward([])

    assert clock.ms == pytest.approx(750.0)
