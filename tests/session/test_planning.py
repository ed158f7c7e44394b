"""Which policy and which drafters a run gets, and that its plans are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import PolicyName
from speculatoviz.engine import Change
from speculatoviz.session.planning import candidates
from speculatoviz.telemetry.events import Metrics, Started, Updated
from speculatoviz.telemetry.messages import Start
from support.toy_session import load


def run(folder: Path, start: Start, **settings: object) -> tuple[Started, list[Metrics]]:
    session = load(folder, **settings)
    try:
        events = list(session.run("r", session.prepare(start), lambda: False))
    finally:
        session.close()
    started = events[0]
    assert isinstance(started, Started)
    return started, [event for event in events if isinstance(event, Metrics)]


def test_a_chosen_drafter_is_the_only_candidate() -> None:
    available = ("ngram", "suffix", "model")

    assert candidates("model", None, available) == ("model", "suffix")
    assert candidates("suffix", None, available) == ("suffix",)
    assert candidates("model", "ngram", available) == ("ngram",)
    assert candidates("eagle", None, ("suffix", "eagle")) == ("eagle", "suffix")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_auto_tells_why(tmp_path: Path, temperature: float) -> None:
    start = Start(prompt="abcabcabc", raw=True, policy="auto", max_tokens=24, ignore_eos=True, temperature=temperature)
    started, rounds = run(tmp_path, start)

    assert started.policy == "auto"
    assert rounds
    for event in rounds:
        assert event.plan is not None
        assert event.drafter == event.plan.chosen.drafter
        assert event.round_drafted <= event.k + event.plan.chosen.siblings
        if event.plan.chosen.depth == 0:
            assert event.round_drafted == 0


def test_a_policy_of_the_settings_holds_where_a_run_names_none(tmp_path: Path) -> None:
    assert run(tmp_path, Start(prompt="abc", raw=True, max_tokens=2), policy="adaptive")[0].policy == "adaptive"
    assert (
        run(tmp_path, Start(prompt="abc", raw=True, max_tokens=2, policy="fixed"), policy="auto")[0].policy == "fixed"
    )


def test_without_a_named_policy_a_given_depth_is_fixed_and_otherwise_auto_plans(tmp_path: Path) -> None:
    def policy(start: dict[str, Any], **settings: object) -> str:
        return run(tmp_path, Start(prompt="abc", raw=True, max_tokens=2, **start), **settings)[0].policy

    assert policy({}) == "auto"
    assert policy({"k": 3}) == policy({"nodes": 5}) == policy({}, k=3) == policy({}, nodes=5) == "fixed"
    assert policy({"nodes": 0}) == "auto"
    assert policy({"k": 3, "policy": "auto"}) == policy({"k": 3}, policy="auto") == "auto"


def test_fixed_plans_have_no_reason(tmp_path: Path) -> None:
    _, rounds = run(tmp_path, Start(prompt="abc", raw=True, max_tokens=8, k=2, ignore_eos=True))

    assert all(event.plan is None and event.k <= 2 for event in rounds)


@pytest.mark.parametrize("policy", ["auto", "adaptive", "fixed"])
def test_an_update_reports_the_settings_and_not_the_next_plan(tmp_path: Path, policy: PolicyName) -> None:
    asked = iter([[], [Change(temperature=0.5)], [], [Change(depth=3, drafter="ngram"), Change(nodes=5)]])
    session = load(tmp_path)
    try:
        start = Start(prompt="abcab", raw=True, policy=policy, k=7, drafter="model", max_tokens=40, ignore_eos=True)
        prepared = session.prepare(start)
        events = list(session.run("r", prepared, lambda: False, lambda: next(asked, [])))
    finally:
        session.close()

    first, second = [event for event in events if isinstance(event, Updated)]
    assert (first.drafter, first.k, first.nodes, first.sampling.temperature) == ("model", 7, 0, 0.5)
    assert (second.drafter, second.k, second.nodes, second.sampling.temperature) == ("ngram", 3, 5, 0.5)
