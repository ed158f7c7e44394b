"""Round the numbers of a trace to six significant digits, for a recording that is sent to every visitor.

Usage: round_trace.py TRACE FILE. No figure of the page shows more digits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DIGITS = 6


def rounded(value: Any) -> Any:
    """The same JSON value with shorter numbers; whole numbers stay as they are."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value


def line(text: str) -> str:
    """One event, in the form of a trace."""
    return json.dumps(rounded(json.loads(text)), ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    source, target = sys.argv[1:]
    lines = Path(source).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    Path(target).write_text("".join(f"{line(text)}\n" for text in lines), encoding="utf-8")
