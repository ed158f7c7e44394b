"""The player: the page in one HTML file, with a recorded run in it. It loads nothing and needs no server."""

from __future__ import annotations

import gzip
import html
from base64 import b64encode
from pathlib import Path
from textwrap import shorten

from pydantic_core import from_json

from speculatoviz.errors import TraceError
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Started

PLAYER = Path(__file__).parent / "built" / "player.html"
_TITLE = "{{title}}"
_TRACE = "{{trace}}"
_TITLE_CHARACTERS = 80


def player(content: bytes, name: str, template: Path | None = None) -> tuple[bytes, str | None]:
    """An HTML file that plays a run, and what is missing at the end of its trace, else None.

    content: the bytes of a trace. Its events of type `record`, which only what-if questions read, are left out. name:
    of the trace, for errors. template: another player than the built one. Raises TraceError.
    """
    read = trace.parse(content, name)
    started = next((event for event in read.events if isinstance(event, Started)), None)
    if started is None:
        raise TraceError(f"{name} contains no run.", "Name a trace that holds at least the beginning of a run.")
    before, between, after = _parts(template or PLAYER)
    packed = b64encode(gzip.compress(_shown(content), mtime=0)).decode("ascii")
    title = shorten(" ".join(started.prompt.split()), _TITLE_CHARACTERS, placeholder="…")
    return "".join((before, html.escape(title or "a run"), between, packed, after)).encode(), read.warning


def _parts(template: Path) -> tuple[str, str, str]:
    """What comes before the title, between title and trace, and after the trace."""
    try:
        text = template.read_text(encoding="utf-8")
    except OSError as error:
        raise TraceError("The player has not been built.", "Run `make page`, or install a wheel.") from error
    before, title, rest = text.partition(_TITLE)
    between, run, after = rest.partition(_TRACE)
    if not (title and run):
        raise TraceError(f"{template} is no player.", "Run `make clean page`, or install the program again.")
    return before, between, after


def _shown(content: bytes) -> bytes:
    """The lines that the page reads."""
    return b"".join(line for line in content.splitlines(keepends=True) if not _is_record(line))


def _is_record(line: bytes) -> bool:
    if b'"record"' not in line:  # most lines are not parsed
        return False
    try:
        value = from_json(line)
    except ValueError:  # an incomplete last line
        return False
    return isinstance(value, dict) and value.get("type") == "record"
