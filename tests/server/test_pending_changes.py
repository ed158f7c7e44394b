"""Updates of a run between two rounds: they are merged, so that a flood of them takes no memory."""

from __future__ import annotations

from typing import Any

import pytest

from speculatoviz.engine import Change
from speculatoviz.server.socket_run import PendingChanges
from speculatoviz.telemetry.messages import Update


def pending(*updates: dict[str, Any]) -> PendingChanges:
    changes = PendingChanges()
    for update in updates:
        changes.add(Update(type="update", **update))
    return changes


def test_without_an_update_there_is_no_change() -> None:
    assert pending().take() == []


@pytest.mark.parametrize(
    ("updates", "change"),
    [
        ([{"k": 2}], Change(depth=2)),
        ([{"k": 2}, {"temperature": 0.5}], Change(depth=2, temperature=0.5)),
        ([{"k": 2, "drafter": "ngram"}, {"k": 0}], Change(depth=0, drafter="ngram")),
        ([{"temperature": 0.5}, {"temperature": 0.0}, {"nodes": 0}], Change(temperature=0.0, nodes=0)),
    ],
)
def test_later_values_replace_earlier_ones(updates: list[dict[str, Any]], change: Change) -> None:
    assert pending(*updates).take() == [change]


def test_many_updates_are_one_change() -> None:
    changes = pending(*({"k": number % 5, "temperature": 0.5} for number in range(10_000)))

    assert changes.take() == [Change(depth=4, temperature=0.5)]
    assert changes.take() == []
