"""Write docs/trace.schema.json from the types of the events. `make fix` does this; a test checks that it was done."""

import json
from pathlib import Path

from speculatoviz.telemetry.trace_schema import trace_schema

FILE = Path(__file__).parents[1] / "docs" / "trace.schema.json"


def document() -> str:
    """The text of docs/trace.schema.json."""
    return json.dumps(trace_schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
    print(FILE)
