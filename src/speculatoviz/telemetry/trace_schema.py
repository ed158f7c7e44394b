"""The JSON schema of a line of a trace, made from the types of its events."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from speculatoviz.telemetry.events import Event, ServerEvent
from speculatoviz.telemetry.trace import EVENT_TYPES, VERSION, Header

_TITLE = f"A line of a SpeculatoViz trace of version {VERSION}"


def trace_schema() -> dict[str, Any]:
    """JSON Schema 2020-12: a line is a header, an event, or an event of a type that came later.

    Fields with a default may be missing, as in traces of earlier programs, and unknown fields are allowed.
    """
    of_line = TypeAdapter(Header | Event).json_schema()
    definitions = of_line.pop("$defs")
    definitions["LaterEvent"] = _later_event()
    kinds = ["Header", *sorted(_names(of_line)), "LaterEvent"]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": dict(sorted(definitions.items())),
    }
    opened = _open(schema)
    assert isinstance(opened, dict)
    for name in kinds[:-1]:  # what tells one line from another must be there
        opened["$defs"][name]["required"] = ["type", *opened["$defs"][name].get("required", [])]
    return opened


def _names(of_line: object) -> set[str]:
    """The names of the definitions that a schema refers to, without the header's."""
    if isinstance(of_line, dict):
        found = {str(of_line["$ref"]).rpartition("/")[2]} if isinstance(of_line.get("$ref"), str) else set[str]()
        inner = (_names(part) for name, part in of_line.items() if name != "discriminator")
        return found.union(*inner) - {"Header"}
    return set[str]().union(*map(_names, of_line)) if isinstance(of_line, list) else set()


def _later_event() -> dict[str, Any]:
    schema = TypeAdapter(ServerEvent).json_schema()
    schema["properties"]["type"] = {"type": "string", "not": {"enum": sorted({*EVENT_TYPES, "trace"})}}
    schema["required"] = ["type", *schema["required"]]
    return schema | {"title": "LaterEvent", "description": "An event of a type that this version does not know."}


def _open(schema: object) -> object:
    """The same schema, in which objects may have further fields."""
    if isinstance(schema, dict):
        return {
            name: _open(part) for name, part in schema.items() if not (name == "additionalProperties" and part is False)
        }
    return [_open(part) for part in schema] if isinstance(schema, list) else schema
