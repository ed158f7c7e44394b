"""A trace of version 1 reads as the run that it recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Metrics, MetricValues
from speculatoviz.telemetry.upgrade import from_version_1
from support import toy_session


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return list(toy_session.run(toy_session.load(tmp_path_factory.mktemp("cache")), temperature=0.7))


def as_version_1(event: Event) -> dict[str, Any]:
    """The event in the older shape: the run's figures of a `metrics` event under `metrics`."""
    document: dict[str, Any] = json.loads(event.model_dump_json())
    if not isinstance(event, Metrics):
        return document
    figures = {name: document.pop(name) for name in MetricValues.model_fields}
    for name in ("usage", "total_variation_bound"):
        document[name] = document.pop(f"round_{name}")
    return document | {"metrics": figures}


def test_every_event_of_version_1_becomes_what_it_is_today(events: list[Event]) -> None:
    for event in events:
        assert from_version_1(as_version_1(event)) == json.loads(event.model_dump_json())


def test_a_file_of_version_1_is_read(events: list[Event], tmp_path: Path) -> None:
    head = trace.header("here").model_copy(update={"version": 1})
    file = tmp_path / "old.jsonl"
    file.write_text("\n".join([head.model_dump_json(), *(json.dumps(as_version_1(e)) for e in events)]) + "\n")

    assert trace.read(file) == (head, events, None)


@pytest.mark.parametrize("odd", [None, 3, "metrics", [], {"type": "metrics"}, {"type": "metrics", "metrics": None}])
def test_what_is_no_event_passes_as_it_is(odd: object) -> None:
    assert from_version_1(odd) == odd
