"""The published schema of traces is that of the event types, and describes what is written."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from speculatoviz.telemetry.trace import EVENT_TYPES, VERSION, header
from speculatoviz.telemetry.trace_schema import trace_schema
from support import toy_session

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "trace.schema.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trace_schema_file", ROOT / "scripts" / "trace_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def definition_of(kind: str) -> dict[str, Any]:
    """The definition of a type of lines."""
    found = [one for one in SCHEMA["$defs"].values() if one.get("properties", {}).get("type", {}).get("const") == kind]
    assert len(found) == 1, kind
    return dict(found[0])


def test_the_published_schema_is_current() -> None:
    published = (ROOT / "docs" / "trace.schema.json").read_text(encoding="utf-8")
    assert published == script().document(), "run `make fix`"


def test_a_field_that_is_added_without_the_schema_is_caught() -> None:
    changed = trace_schema()
    changed["$defs"]["Done"]["properties"]["later"] = {"type": "null"}
    assert json.dumps(changed, indent=1) + "\n" != script().document()


def test_every_type_of_line_has_one_definition_and_none_is_closed() -> None:
    listed = [reference["$ref"].rpartition("/")[2] for reference in SCHEMA["oneOf"]]
    kinds = {SCHEMA["$defs"][name]["properties"]["type"].get("const") for name in listed} - {None}

    assert kinds == {*EVENT_TYPES, "trace"}
    assert len(listed) == len(kinds) + 1  # and events of later types
    assert set(SCHEMA["$defs"]["LaterEvent"]["properties"]["type"]["not"]["enum"]) == kinds
    assert "additionalProperties" not in json.dumps(SCHEMA)
    assert all("type" in SCHEMA["$defs"][name]["required"] for name in listed)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_real_run_has_the_fields_of_the_schema(temperature: float, tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, temperature=temperature, record_depth=4, shadow=["ngram"])
    session.close()
    for line in [header("here"), *events]:
        values = json.loads(line.model_dump_json())
        expected = definition_of(line.type)
        assert set(expected["required"]) <= set(values) <= set(expected["properties"])


def test_the_page_names_the_version_the_schema_and_every_type() -> None:
    assert f"version {VERSION}" in PAGE
    assert "trace.schema.json" in PAGE
    assert set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) >= EVENT_TYPES
