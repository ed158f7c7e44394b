"""The page on the protocol shows every message whole, names every field, and names no field that does not exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json

from speculatoviz.server.traffic import TrafficNews
from speculatoviz.telemetry.events import EVENT, Event, MetricValues, ServerEvent
from speculatoviz.telemetry.messages import CLIENT_MESSAGE, ClientMessage
from speculatoviz.telemetry.trace import Header

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
METRICS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
SENT = list(get_args(get_args(ClientMessage)[0]))
RECEIVED = [*get_args(get_args(Event)[0]), TrafficNews]
MESSAGES = [*SENT, *RECEIVED]


def name_of(message: type[BaseModel]) -> str:
    """The value of its `type`."""
    return str(get_args(message.model_fields["type"].annotation)[0])


def section(heading: str, text: str = PAGE) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no section {heading}"
    return found[1]


def examples(text: str) -> list[dict[str, Any]]:
    return [from_json(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def documented(text: str) -> set[str]:
    """The names in the first column of the tables."""
    rows = [row.split("|")[1] for row in re.findall(r"^\|.*$", text, re.MULTILINE)]
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def missing_or_unknown(example: object, model: Any) -> list[str]:
    """Names that only one of an example and a model's serialised form has, at every level."""
    full = model.model_validate(example).model_dump(mode="json")
    return sorted(_differences(example, full, ""))


def _differences(shown: object, full: object, at: str) -> set[str]:
    if isinstance(shown, dict) and isinstance(full, dict):
        here = {f"{at}{name}" for name in shown.keys() ^ full.keys()}
        return here.union(*(_differences(shown[n], full[n], f"{at}{n}.") for n in shown.keys() & full.keys()))
    if isinstance(shown, list) and isinstance(full, list):
        return set[str]().union(*(_differences(a, b, at) for a, b in zip(shown, full, strict=True)))
    return set()


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_the_example_is_the_whole_message(message: type[BaseModel]) -> None:
    shown = examples(section(name_of(message)))

    assert shown
    for example in shown:
        assert missing_or_unknown(example, message) == []
        sent: Any = CLIENT_MESSAGE if message in SENT else EVENT
        adapter = TypeAdapter(TrafficNews) if message is TrafficNews else sent
        assert type(adapter.validate_python(example)) is message


@pytest.mark.parametrize("message", MESSAGES, ids=name_of)
def test_the_table_names_the_fields(message: type[BaseModel]) -> None:
    common = set(ServerEvent.model_fields) if issubclass(message, ServerEvent) else set[str]()
    elsewhere = set(MetricValues.model_fields) if issubclass(message, MetricValues) else set[str]()

    assert documented(section(name_of(message))) == set(message.model_fields) - common - elsewhere - {"type"}


def test_the_common_fields_are_named() -> None:
    assert documented(section("What the server sends")) == set(ServerEvent.model_fields)


def test_every_figure_is_defined_in_the_page_on_metrics() -> None:
    names = set(re.findall(r"`(\w+)", METRICS))
    overall = {name for name in MetricValues.model_fields if name.startswith("overall_")}

    assert set(MetricValues.model_fields) - overall <= names
    assert {name.removeprefix("overall_") for name in overall} - {"tps"} <= names | {"effective_tps"}


def test_the_header_of_a_trace() -> None:
    (example,) = examples(section("Traces"))

    assert missing_or_unknown(example, Header) == []
    assert documented(section("Traces")) == set(Header.model_fields) - {"type"}


@pytest.mark.parametrize(
    "damage",
    [lambda e: e.pop("run"), lambda e: e.update(extra=1), lambda e: e["sampling"].pop("min_p")],
    ids=["missing", "unknown", "inner"],
)
def test_an_incomplete_example_is_caught(damage: Any) -> None:
    """The twin of the tests above: a page that shows a field too few or too many fails them."""
    (example,) = examples(section("updated"))
    damage(example)

    with pytest.raises((ValueError, AssertionError)):
        assert missing_or_unknown(example, {name_of(m): m for m in RECEIVED}["updated"]) == []
