"""Print the JSON schema of every message, from which the page's types are generated."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import TypeAdapter

from speculatoviz.lab.anatomy import AcceptanceAnatomy
from speculatoviz.lab.store.summary import StoredRunDetail
from speculatoviz.server.api.engine_statistics import StatisticsFound
from speculatoviz.server.api.runs import RunChange, RunPage
from speculatoviz.server.api.what_if import WhatIfAnswer, WhatIfQuestion
from speculatoviz.server.classroom.messages import ClassroomEvent, ClassroomMessage
from speculatoviz.server.info import AloneRequest, AloneText, Health, SettingsInfo, TestDraft
from speculatoviz.server.traffic import TrafficNews
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.messages import ClientMessage

# Their fields with a default may be left out.
_OF_CLIENTS = {"ClientMessage", "AloneRequest", "ClassroomMessage", "WhatIfQuestion"}


def main() -> None:
    """Print one JSON schema with a property for each root type."""
    definitions: dict[str, Any] = {}
    roots: dict[str, Any] = {}
    types: dict[str, Any] = {
        "ClientMessage": ClientMessage,
        "ServerMessage": Event,
        "TrafficNews": TrafficNews,
        "Health": Health,
        "SettingsInfo": SettingsInfo,
        "TestDraft": TestDraft,
        "AloneRequest": AloneRequest,
        "AloneText": AloneText,
        "ClassroomMessage": ClassroomMessage,
        "ClassroomEvent": ClassroomEvent,
        "RunPage": RunPage,
        "AcceptanceAnatomy": AcceptanceAnatomy,
        "StoredRunDetail": StoredRunDetail,
        "RunChange": RunChange,
        "StatisticsFound": StatisticsFound,
        "WhatIfQuestion": WhatIfQuestion,
        "WhatIfAnswer": WhatIfAnswer,
    }
    for name, message_type in types.items():
        mode: Literal["validation", "serialization"] = "validation" if name in _OF_CLIENTS else "serialization"
        schema = TypeAdapter(message_type).json_schema(mode=mode, ref_template="#/definitions/{model}")
        definitions |= schema.pop("$defs", {})
        schema.pop("discriminator", None)
        roots[name] = schema
    document = {
        "title": "Protocol",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/definitions/{name}"} for name in roots},
        "required": list(roots),
        "definitions": definitions | {name: schema | {"title": name} for name, schema in roots.items()},
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
