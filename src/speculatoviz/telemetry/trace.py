"""A run on disk: JSON Lines in UTF-8. The first line is the header, every other line one event as it was sent."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from pydantic import ValidationError
from pydantic_core import from_json

from speculatoviz.errors import TraceError
from speculatoviz.machine import describe
from speculatoviz.telemetry.events import EVENT, Done, Event, Failure
from speculatoviz.telemetry.parts import Strict
from speculatoviz.telemetry.upgrade import from_version_1

VERSION = 2  # version 1 is read as well
_NAME_ANOTHER = "Name another file with --trace."
_NAME_A_TRACE = "Name a file written with --trace."


class Header(Strict):
    """The first line. `created` is ISO 8601 in UTC; `machine` describes where the times were measured."""

    type: Literal["trace"] = "trace"
    version: int
    created: str
    speculatoviz: str
    machine: str


class Trace(NamedTuple):
    """What was read. warning: what is missing at the end of a file that was cut off, else None."""

    header: Header
    events: list[Event]
    warning: str | None


def header(machine: str | None = None) -> Header:
    """A header for a trace that begins now, on this machine unless another is named."""
    return Header(
        version=VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        speculatoviz=version("speculatoviz"),
        machine=machine or describe(),
    )


class TraceWriter:
    """Appends events to a file that is open for text in UTF-8; every line is complete once `write` returns.

    An empty file gets the header at once. A file with content is emptied by the first event, so a run that cannot
    start loses no earlier trace. If a write fails later, `warn` receives one sentence and the rest is not written:
    a trace never ends a run. Raises OSError if the header cannot be written.
    """

    def __init__(self, file: TextIO, head: Header, warn: Callable[[str], None]) -> None:
        self._file, self._head, self._warn = file, head, warn
        self.open = True
        self._begun = False
        if not (file.seekable() and file.tell()):
            self._begin()

    def write(self, event: Event) -> None:
        """Append one event, after the header if it is the first. Does nothing after a failed write."""
        if not self.open:
            return
        try:
            if not self._begun:
                self._file.seek(0)
                self._file.truncate()
                self._begin()
            self._line(event.model_dump_json())
        except OSError as error:
            self.open = False
            name = getattr(self._file, "name", "The trace")
            self._warn(f"{name} cannot be written any more ({error.strerror or error}). The run goes on without trace.")

    def _begin(self) -> None:
        self._line(self._head.model_dump_json())
        self._begun = True

    def _line(self, text: str) -> None:
        self._file.write(text + "\n")
        self._file.flush()


@contextmanager
def create(path: Path, warn: Callable[[str], None]) -> Iterator[TraceWriter]:
    """Open a file for a new trace. Raises TraceError if it cannot be written. Later failures go to `warn`."""
    file: TextIO | None = None
    try:
        file = path.open("a", encoding="utf-8", newline="\n")
        writer = TraceWriter(file, header(), warn)
    except OSError as error:
        _close(file)
        raise TraceError(f"{path} cannot be written ({error.strerror or error}).", _NAME_ANOTHER) from error
    try:
        yield writer
    finally:
        _close(file)


def _close(file: TextIO | None) -> None:
    with suppress(OSError):  # closing writes once more what could not be written
        if file is not None:
            file.close()


def read(path: Path) -> Trace:
    """Read a trace. An incomplete last line, as a crash or a full disk leaves it, is left out, with a warning.

    Raises TraceError if the file cannot be read, is no trace, or has a whole line that is no event.
    """
    try:
        data = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise TraceError(f"{path} cannot be read ({error.strerror or error}).", _NAME_A_TRACE) from error
    if not data:
        raise TraceError(f"{path} is empty.", _NAME_A_TRACE)
    # Only line feeds end a line: a text may hold U+2028 or U+0085.
    *lines, last = data.split(b"\n")
    if not lines:
        lines, last = [last], b""
    head = _header(path, lines[0])
    events = [_event(path, head, number, line) for number, line in enumerate(lines[1:], start=2)]
    warning = None
    if last:
        try:
            events.append(_parse(head, last))
        except ValueError:
            warning = f"Line {len(lines) + 1} of {path} is incomplete and left out: the trace was cut off there."
    if warning is None and not any(isinstance(event, Done | Failure) for event in events):
        warning = f"{path} ends before its run does."
    return Trace(head, events, warning)


def _header(path: Path, line: bytes) -> Header:
    try:
        head = Header.model_validate_json(line)
    except ValidationError as error:
        raise TraceError(f"{path} does not begin like a trace.", _NAME_A_TRACE) from error
    if head.version not in {1, VERSION}:
        raise TraceError(
            f"{path} is a trace of version {head.version}; this program reads version {VERSION}.",
            "Use the version of SpeculatoViz that wrote it.",
        )
    return head


def _event(path: Path, head: Header, number: int, line: bytes) -> Event:
    try:
        return _parse(head, line)
    except ValueError as error:
        message = f"Line {number} of {path} is not an event of a run."
        raise TraceError(message, "The file is damaged: remove that line, or record the run again.") from error


def _parse(head: Header, line: bytes) -> Event:
    """An event in its form of today. Raises ValueError."""
    event = from_json(line)
    return EVENT.validate_python(from_version_1(event) if head.version == 1 else event)
