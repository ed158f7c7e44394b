"""What `auto` believes of a drafter's cost after the machine was busy: it must not keep a drafter from being used."""

from __future__ import annotations

import pytest

from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Extra, Round, Times, Verdict
from speculatoviz.core.types import ROOT, Draft, Node
from speculatoviz.policies import costs as learned
from speculatoviz.policies.costs import Costs, VerifyCosts

PASS_MS, DRAFT_MS = 20.0, 6.0


def drafted(index: int, load: float, draft_load: float | None = None) -> Round:
    """A round with one drafted token while everything takes `load` times as long; draft_load: the draft alone."""
    draft = Draft.tree(index, [Node(5, ROOT, None, "model")])
    times = Times(DRAFT_MS * (draft_load or load), PASS_MS * load, 0.0, 0.0, 0.0)
    verdict = Verdict((0,), Extra(8, "bonus", None), ())
    return Round(index, Plan("model", 1), draft, verdict, (5, 8), ("accepted", "bonus"), ("", ""), times)


def plain(index: int, load: float = 1.0) -> Round:
    verdict = Verdict((), Extra(8, "plain", None), ())
    times = Times(0.0, PASS_MS * load, 0.0, 0.0, 0.0)
    return Round(index, Plan("model", 0), Draft.empty(index), verdict, (8,), ("plain",), ("",), times)


def costs() -> Costs:
    return Costs(lambda: {1: PASS_MS, 2: PASS_MS}, {"model": DRAFT_MS}.get)


def after_a_busy_start() -> float:
    """The expected time of a drafted token, 60 plain rounds after 20 rounds on a machine with five times the work."""
    known = costs()
    for index in range(20):
        known.observe(drafted(index, 5.0), 1)
    assert known.draft.pass_ms("model") > 3.5 * DRAFT_MS
    for index in range(60):
        known.observe(plain(index), 1)
    return known.draft.pass_ms("model")


def after_a_stall(rounds: int) -> float:
    """Likewise, so many plain rounds after ten drafts that alone took six times as long."""
    known = costs()
    for index in range(10):
        known.observe(drafted(index, 1.0, 6.0), 1)
    for index in range(rounds):
        known.observe(plain(index), 1)
    return known.draft.pass_ms("model")


def test_a_drafter_is_cheap_again_when_the_targets_passes_are() -> None:
    assert after_a_busy_start() == pytest.approx(DRAFT_MS, rel=0.15)


def test_a_cost_that_is_kept_in_milliseconds_stays_high(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerifyCosts, "slowdown", 1.0)
    assert after_a_busy_start() > 2.5 * DRAFT_MS


def test_a_drafter_that_once_looked_dear_is_not_given_up_for_good() -> None:
    assert after_a_stall(0) > 4 * DRAFT_MS
    assert after_a_stall(800) == pytest.approx(DRAFT_MS, rel=0.1)


def test_without_forgetting_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_FORGOTTEN", 0.0)
    assert after_a_stall(800) > 4 * DRAFT_MS


def test_what_is_observed_again_and_again_is_believed() -> None:
    known = costs()
    for index in range(60):
        known.observe(drafted(index, 1.0, 3.0), 1)
    assert known.draft.pass_ms("model") == pytest.approx(3 * DRAFT_MS, rel=0.1)
