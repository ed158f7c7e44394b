"""A run on disk: JSON Lines in UTF-8. The first line is the header, every other line one event as it was sent.

docs/trace.md specifies the format.
"""

from __future__ import annotations

import errno
import io
import os
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO, get_args

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from speculatoviz.errors import TraceError
from speculatoviz.machine import describe
from speculatoviz.telemetry.events import EVENT, Done, Event, Failure, ServerEvent
from speculatoviz.telemetry.parts import Strict
from speculatoviz.telemetry.upgrade import from_version_1

VERSION = 2  # version 1 is read as well
_NAME_ANOTHER = "Name another file with --trace."
_NAME_A_TRACE = "Name a file written with --trace."
_SYNC_S = 1.0  # after which what was written goes to the disk itself
_NO_DISK = {errno.EINVAL, errno.ENOTSUP}  # of a pipe or a terminal


class Header(Strict):
    """The first line. `created` is ISO 8601 in UTC; `machine` describes where the times were measured."""

    type: Literal["trace"] = "trace"
    version: int
    created: str
    speculatoviz: str
    machine: str


EVENT_TYPES = frozenset(str(get_args(kind.model_fields["type"].annotation)[0]) for kind in get_args(get_args(Event)[0]))
_HEADER: TypeAdapter[Header] = TypeAdapter(Header)
_ENVELOPE: TypeAdapter[ServerEvent] = TypeAdapter(ServerEvent)


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
    a trace never ends a run. If the process crashes, nothing is lost that was written; if the machine does, at most
    what was written within a second. Raises OSError if the header cannot be written. clock: seconds. sync: writes a
    file to the disk itself.
    """

    def __init__(
        self,
        file: TextIO,
        head: Header,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._file, self._head, self._warn = file, head, warn
        self._clock, self._sync, self._synced_s = clock, sync, clock()
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
            self._fail(error)

    def close(self) -> None:
        """Write everything to the disk itself. A failure goes to `warn`. The file stays open."""
        if self.open and self._begun:
            try:
                self._to_disk()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.open = False
        name = getattr(self._file, "name", "The trace")
        self._warn(f"{name} cannot be written any more ({error.strerror or error}). The run goes on without trace.")

    def _begin(self) -> None:
        self._line(self._head.model_dump_json())
        self._begun = True

    def _line(self, text: str) -> None:
        self._file.write(text + "\n")
        self._file.flush()
        if self._clock() - self._synced_s >= _SYNC_S:
            self._to_disk()

    def _to_disk(self) -> None:
        self._synced_s = self._clock()
        try:
            number = self._file.fileno()
        except io.UnsupportedOperation:  # it is in memory
            return
        try:
            self._sync(number)
        except OSError as error:
            if error.errno not in _NO_DISK:
                raise


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
        writer.close()
        _close(file)


def _close(file: TextIO | None) -> None:
    with suppress(OSError):  # closing writes once more what could not be written
        if file is not None:
            file.close()


def as_bytes(events: Iterable[Event]) -> bytes:
    """A whole trace of events that happened on this machine, as a file of it holds them."""
    lines = [header().model_dump_json(), *(event.model_dump_json() for event in events)]
    return "".join(f"{line}\n" for line in lines).encode()


def read(path: Path) -> Trace:
    """Read a trace. An incomplete last line, as a crash or a full disk leaves it, is left out, with a warning.

    Fields that this version does not know are left out, and so are events of a type that it does not know. Raises
    TraceError if the file cannot be read, is no trace, has a newer version, or has a whole line that is no event.
    """
    return parse(content(path), str(path))


def parse(data: bytes, name: str) -> Trace:
    """Read a trace from its bytes, as `read` does. name: of the trace, for errors and the warning."""
    return _trace(name, _documents(data, name))


def content(path: Path) -> bytes:
    """The bytes of a file. Raises TraceError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path} cannot be read ({error.strerror or error}).", _NAME_A_TRACE) from error


def convert(source: Path, path: Path) -> str | None:
    """Write the trace of a file as one of today's version. As `rewrite`; `source` may be `path`."""
    return rewrite(content(source), str(source), path)


def rewrite(data: bytes, name: str, path: Path) -> str | None:
    """Write a trace as one of today's version, and return what `parse` would warn of.

    Fields and events that this version does not know are kept as they are. An incomplete last line is left out. Raises
    TraceError like `parse`, and if `path` cannot be written.
    """
    found = _documents(data, name)
    documents = [found.document | {"version": VERSION}, *(line.document for line in found.lines)]
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(b"".join(to_json(document) + b"\n" for document in documents))
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise TraceError(f"{path} cannot be written ({error.strerror or error}).", _NAME_ANOTHER) from error
    return _trace(name, found).warning


class _Line(NamedTuple):
    """A line in its form of today, with everything that it holds. event: None for an unknown type."""

    document: dict[str, Any]
    event: Event | None


class _Documents(NamedTuple):
    """What a file holds. document: the header's own. warning: of an incomplete last line."""

    head: Header
    document: dict[str, Any]
    lines: list[_Line]
    warning: str | None


def _trace(name: str, found: _Documents) -> Trace:
    events = [event for line in found.lines if (event := line.event) is not None]
    warning = found.warning
    if warning is None and not any(isinstance(event, Done | Failure) for event in events):
        warning = f"{name} ends before its run does."
    return Trace(found.head, events, warning)


def _documents(data: bytes, name: str) -> _Documents:
    data = data.removeprefix(BOM_UTF8)
    if not data:
        raise TraceError(f"{name} is empty.", _NAME_A_TRACE)
    # Only line feeds end a line: a text may hold U+2028 or U+0085.
    *whole, last = data.split(b"\n")
    if not whole:
        whole, last = [last], b""
    head, document = _header(name, whole[0])
    lines = [_line(name, head, number, line) for number, line in enumerate(whole[1:], start=2)]
    warning = None
    if last:
        try:
            lines.append(_parse(head, last))
        except ValueError:
            warning = f"Line {len(whole) + 1} of {name} is incomplete and left out: the trace was cut off there."
    return _Documents(head, document, lines, warning)


def _header(name: str, line: bytes) -> tuple[Header, dict[str, Any]]:
    try:
        document = from_json(line)
        if isinstance(document, dict) and document.get("type") == "trace":
            _check_version(name, document.get("version"))
        return _HEADER.validate_python(document, extra="ignore"), document
    except ValueError as error:
        raise TraceError(f"{name} does not begin like a trace.", _NAME_A_TRACE) from error


def _check_version(name: str, found: object) -> None:
    if type(found) is int and found > VERSION:
        raise TraceError(
            f"{name} is a trace of version {found}; this program reads version {VERSION} and earlier ones.",
            "Install a newer SpeculatoViz.",
        )
    if type(found) is not int or found < 1:
        raise ValueError("not a version")


def _line(name: str, head: Header, number: int, line: bytes) -> _Line:
    try:
        return _parse(head, line)
    except ValueError as error:
        message = f"Line {number} of {name} is not an event of a run."
        raise TraceError(message, "The file is damaged: remove that line, or record the run again.") from error


def _parse(head: Header, line: bytes) -> _Line:
    """Raises ValueError for what is no event; an event of an unknown type needs the fields of all events."""
    document = from_json(line)
    if head.version == 1:
        document = from_version_1(document)
    if isinstance(document, dict) and isinstance(kind := document.get("type"), str) and kind not in EVENT_TYPES:
        _ENVELOPE.validate_python(document, extra="ignore")
        return _Line(document, None)
    return _Line(document, EVENT.validate_python(document, extra="ignore"))
