"""A run on disk: a header line, then its events as they were sent, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TextIO

from pydantic import ValidationError
from pydantic_core import from_json

from speculatoviz.errors import TraceError
from speculatoviz.machine import describe
from speculatoviz.telemetry.events import EVENT, Event, Strict
from speculatoviz.telemetry.upgrade import from_version_1

VERSION = 2  # version 1 is read as well


class Header(Strict):
    """The first line. `created` is ISO 8601 in UTC; `machine` says what the times were measured on."""

    type: Literal["trace"] = "trace"
    version: int
    created: str
    speculatoviz: str
    machine: str


def header(machine: str | None = None) -> Header:
    return Header(
        version=VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        speculatoviz=version("speculatoviz"),
        machine=machine or describe(),
    )


class TraceWriter:
    """Appends events to an open file; every line is complete once `write` returns."""

    def __init__(self, file: TextIO, head: Header) -> None:
        self._file = file
        self._line(head.model_dump_json())

    def write(self, event: Event) -> None:
        self._line(event.model_dump_json())

    def _line(self, text: str) -> None:
        self._file.write(text + "\n")
        self._file.flush()


def read(path: Path) -> tuple[Header, list[Event]]:
    """Header and events of a trace. Raises TraceError naming the line that cannot be read."""
    try:
        # Not splitlines(), which would also break a line where its text holds U+2028 or U+0085.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path} cannot be read ({error}).", "Name a file written with --trace.") from error
    if lines == [""]:
        raise TraceError(f"{path} is empty.", "Name a file written with --trace.")
    head = _header(path, lines[0])
    return head, list(_events(path, lines[1:], head.version))


def _header(path: Path, line: str) -> Header:
    try:
        head = Header.model_validate_json(line)
    except ValidationError as error:
        raise TraceError(f"{path} does not begin like a trace.", "Name a file written with --trace.") from error
    if head.version not in {1, VERSION}:
        raise TraceError(
            f"{path} is a trace of version {head.version}; this program reads version {VERSION}.",
            "Use the version of SpeculatoViz that wrote it.",
        )
    return head


def _events(path: Path, lines: Iterable[str], version: int) -> Iterable[Event]:
    for number, line in enumerate(lines, start=2):
        try:
            event = from_json(line)
            yield EVENT.validate_python(from_version_1(event) if version == 1 else event)
        except ValueError as error:
            raise TraceError(
                f"Line {number} of {path} is not an event of a run.",
                "The file may be cut off: remove that line.",
            ) from error
