"""Events of earlier versions of the trace format, brought to the form of today."""

from __future__ import annotations

from typing import Any


def from_version_1(event: Any) -> Any:
    """An event as version 1 stored it, in the form of version 2.

    Version 1 held the run's figures of a `metrics` event one level down, under `metrics`; `usage` and
    `total_variation_bound` beside them were the round's.
    """
    if not isinstance(event, dict) or event.get("type") != "metrics" or not isinstance(event.get("metrics"), dict):
        return event
    own = {name: value for name, value in event.items() if name != "metrics"}
    for name in ("usage", "total_variation_bound"):
        if name in own:
            own[f"round_{name}"] = own.pop(name)
    return own | event["metrics"]
