"""Acceptance over many runs: counted by hand, placed in the text, and as the page counts it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.lab.anatomy import (
    DEEPEST,
    MOST_PROMPTS,
    OTHER_PROMPTS,
    AcceptanceAnatomy,
    AcceptanceCell,
    anatomy,
    entropy_label,
    position_label,
    tokens_tested,
    wilson,
)

FRONTEND = Path(__file__).parents[2] / "frontend"
RECORDING = FRONTEND / "public" / "recording.jsonl"
EXPECTED = FRONTEND / "src" / "testing" / "anatomy.json"


def verdict(round: int, node: int | None, position: int, status: str, token: str, **changes: Any) -> dict[str, Any]:
    emitted = status not in ("rejected", "discarded")
    return {
        **{"type": "verify_result", "round": round, "node": node, "position": position, "status": status},
        **{"draft_token": None if node is None else token, "final_token": token if emitted else None},
        **{"entropy": 0.3, **changes},
    }


# " The cat sat": round 0 accepts two tokens and rejects " on"; round 1 is a tree whose second sibling is accepted.
EVENTS = [
    verdict(0, 0, 0, "accepted", " The", entropy=0.05),
    verdict(0, 1, 1, "accepted", " cat"),
    verdict(0, 2, 2, "rejected", " on", entropy=1.5),
    verdict(0, 3, 3, "discarded", " a", entropy=None),
    verdict(0, None, 2, "resampled", " sat", entropy=1.5),
    verdict(1, 0, 0, "rejected", "!", entropy=None),
    verdict(1, 1, 0, "accepted", ",", entropy=None),
    verdict(1, None, 1, "bonus", " 7"),
]


def lines(events: list[dict[str, Any]]) -> list[bytes]:
    others = [b'{"type":"trace"}', b'{"type":"metrics","note":"verify_result"}']
    return [others[0], *(json.dumps(event).encode() for event in events), others[1]]


def cells(found: AcceptanceAnatomy, by: str) -> dict[str, AcceptanceCell]:
    return {cell.label: cell for group in found.groups if group.by == by for cell in group.cells}


def counts(found: AcceptanceAnatomy, by: str) -> dict[str, tuple[int, int]]:
    return {label: (cell.accepted, cell.tested) for label, cell in cells(found, by).items()}


def test_tested_tokens_are_counted_by_hand() -> None:
    found = anatomy([("Tell a story", tokens_tested("a", lines(EVENTS)))])

    assert (found.runs, found.left_out, found.tested, found.accepted) == (1, 0, 5, 3)
    assert counts(found, "position") == {"1": (2, 3), "2": (1, 1), "3": (0, 1)}
    assert counts(found, "entropy") == {"below 0.1": (1, 1), "0.1 to 0.5": (1, 1), "1 to 2": (0, 1)}
    assert counts(found, "token_class") == {"word start": (2, 3), "punctuation": (1, 2)}
    assert counts(found, "prompt") == {"Tell a story": (3, 5)}


def test_a_discarded_token_that_counted_would_be_noticed() -> None:
    text = verdict(0, None, 3, "bonus", " x")  # so that the discarded token has a place in the text
    broken = [event | {"status": "rejected"} if event["status"] == "discarded" else event for event in EVENTS]
    whole = [[*events[:5], text, *events[5:]] for events in (EVENTS, broken)]
    assert [len(tokens_tested("a", lines(events))) for events in whole] == [5, 6]


def test_an_example_is_in_its_text() -> None:
    found = cells(anatomy([("", tokens_tested("a", lines(EVENTS)))]), "position")
    [rejected] = found["3"].examples

    assert (rejected.run, rejected.round, rejected.node, rejected.accepted) == ("a", 0, 2, False)
    assert (rejected.before, rejected.token, rejected.instead, rejected.after) == (" The cat", " on", " sat", ", 7")
    assert [(one.token, one.instead) for one in found["1"].examples] == [(" The", None), (",", None), ("!", ",")]


def test_examples_come_from_several_runs() -> None:
    runs = [("", tokens_tested(f"run{at}", lines(EVENTS))) for at in range(9)]
    for cell in cells(anatomy(runs), "position").values():
        for accepted in (True, False):
            own = [one.run for one in cell.examples if one.accepted is accepted]
            assert len(own) <= 4
            assert all(own.count(run) <= 2 for run in own)


def test_rare_prompts_share_a_cell() -> None:
    tokens = tokens_tested("a", lines(EVENTS))
    runs = [(f"prompt {at}", tokens * (20 - at)) for at in range(12)]
    found = counts(anatomy(runs), "prompt")

    assert len(found) == MOST_PROMPTS
    assert found["prompt 0"] == (60, 100)
    assert sum(tested for _, tested in found.values()) == anatomy(runs).tested
    assert found[OTHER_PROMPTS][1] == sum(5 * (20 - at) for at in range(MOST_PROMPTS - 1, 12))


@pytest.mark.parametrize(
    ("entropy", "label"),
    [(0.0, "below 0.1"), (0.1, "0.1 to 0.5"), (1.999, "1 to 2"), (2.0, "2 and more"), (None, None), (math.nan, None)],
)
def test_the_classes_of_entropy(entropy: float | None, label: str | None) -> None:
    assert entropy_label(entropy) == label


def test_deep_positions_share_a_cell() -> None:
    assert [position_label(at) for at in (0, DEEPEST - 2, DEEPEST - 1, 40)] == ["1", "7", "8 and more", "8 and more"]


@pytest.mark.parametrize(("accepted", "tested"), [(0, 5), (5, 5), (1, 2), (700, 1000)])
def test_the_interval_is_that_of_wilson(accepted: int, tested: int) -> None:
    """Its ends are where the share is 1.96 standard errors of the end away."""
    share = accepted / tested
    for end in wilson(accepted, tested):
        if 0.0 < end < 1.0:
            assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / tested), abs=1e-6)
    low, high = wilson(accepted, tested)
    assert low <= share <= high
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_page_counts_as_the_server_does() -> None:
    """`src/run/anatomy.test.ts` expects the same of the page's own code, for a browser that keeps runs itself."""
    recorded = RECORDING.read_bytes().splitlines()
    prompt = json.loads(recorded[1])["prompt"]
    found = anatomy([(prompt, tokens_tested("cli", recorded))]).model_dump(mode="json")
    assert found["tested"] > 100
    assert json.loads(EXPECTED.read_text()) == found, "write it again: python tests/lab/test_anatomy.py"


if __name__ == "__main__":
    recorded = RECORDING.read_bytes().splitlines()
    prompt = json.loads(recorded[1])["prompt"]
    EXPECTED.write_text(anatomy([(prompt, tokens_tested("cli", recorded))]).model_dump_json(indent=2) + "\n")
