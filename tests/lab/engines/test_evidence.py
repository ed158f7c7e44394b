"""Evidence is what traces of one setting show together; what they do not show is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines.evidence import evidence
from support.recorded import SAMPLED, model, traced

ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2), (0, 0)]


def test_several_traces_count_as_one() -> None:
    found = evidence([traced(ROUNDS, "a"), traced([(3, 3)] * 4, "b")])

    assert (found.drafter, found.depth, found.runs, found.traces) == ("model", 3, 2, ("a", "b"))
    assert found.acceptance.accepted_at == (7, 6, 5)
    assert found.acceptance.unconditional == [7 / 8, 6 / 8, 5 / 8]
    assert found.length_interval is not None
    low, high = found.length_interval
    assert low <= 1 + 18 / 8 <= high


def test_a_smaller_depth_keeps_the_first_positions() -> None:
    found = evidence([traced(ROUNDS)], depth=2)

    assert found.acceptance.accepted_at == (3, 2)
    assert found.acceptance.mean_acceptance_length == 1 + 5 / 4


def test_the_drafter_with_the_most_drafts_is_chosen_and_the_others_are_named() -> None:
    traces = [traced(ROUNDS, drafter="suffix"), traced([(4, 4)], drafter="model")]

    assert evidence(traces).drafter == "suffix"
    assert any("model drafted 1 round," in note for note in evidence(traces).notes)
    assert evidence(traces, "model").acceptance.accepted == 4


def test_what_limits_the_evidence_is_noted() -> None:
    notes = evidence([traced([(3, 3), (3, 1), (1, 1), (0, 0)])]).notes

    assert any("Only 3 drafts" in note for note in notes)
    assert any("33 % of the drafts had fewer than 3 tokens" in note for note in notes)
    assert any("1 of 4 rounds had no draft" in note and "1.2500" in note for note in notes)
    assert evidence([traced([(3, 1)] * 60)]).notes == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target_model": model("Another-7B")}, "target"),
        ({"draft_model": model("owner/Draft-0.5B", "Q8_0")}, "draft model"),
        ({"rule": "block"}, "rule"),
        ({"sampling": SAMPLED}, "temperature"),
    ],
)
def test_traces_of_different_settings_are_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequestError, match=f"differ in their {named}"):
        evidence([traced(ROUNDS), traced(ROUNDS, **change)])


@pytest.mark.parametrize(
    ("options", "chosen", "words"),
    [
        ({"tree": True}, {}, "are trees"),
        ({}, {"depth": 4}, "at most 3 tokens"),
        ({}, {"depth": 0}, "no draft"),
        ({"rule": "block"}, {"depth": 2}, "Block verification"),
        ({}, {"drafter": "suffix"}, "suffix drafted in no round"),
    ],
)
def test_what_traces_do_not_show_is_refused(options: dict[str, Any], chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as refused:
        evidence([traced(ROUNDS, **options)], **chosen)
    assert refused.value.hint


def test_traces_without_a_draft_are_refused() -> None:
    with pytest.raises(BadRequestError, match="has a draft"):
        evidence([traced([(0, 0)] * 5)])
    with pytest.raises(BadRequestError, match="contain no run"):
        evidence([traced(ROUNDS)._replace(trace=traced(ROUNDS).trace._replace(events=[]))])
