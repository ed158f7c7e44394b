"""A trace reads back as it was written; a damaged line is refused, a missing end is reported."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import TraceError
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Failure, Queued, VerifyResult
from support import toy_session


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """A real run, with a server's `queued` before it and an error after it."""
    session = toy_session.load(tmp_path_factory.mktemp("cache"))
    run = toy_session.run(session, temperature=0.9, seed=4)
    before = Queued(run="r", seq=0, t_ms=0.0, place=1)
    after = Failure(run=None, seq=0, t_ms=0.0, code="bad_request", message="No.", hint="Yes.")
    return [before, *run, after]


@pytest.fixture
def file(events: list[Event], tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    with path.open("w", encoding="utf-8") as out:
        writer = trace.TraceWriter(out, trace.header("a machine"), never)
        for event in events:
            writer.write(event)
    return path


def never(message: str) -> None:
    raise AssertionError(message)


def refused(path: Path) -> TraceError:
    with pytest.raises(TraceError) as error:
        trace.read(path)
    assert error.value.hint
    return error.value


def test_a_trace_reads_back_as_it_was_written(file: Path, events: list[Event]) -> None:
    head, read, warning = trace.read(file)

    assert read == events
    assert warning is None
    assert (head.version, head.machine) == (trace.VERSION, "a machine")


def test_a_trace_is_one_json_object_a_line(file: Path, events: list[Event]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")

    assert lines.pop() == ""
    assert [json.loads(line)["type"] for line in lines] == ["trace", *(event.type for event in events)]


def test_the_header_holds_time_machine_and_version() -> None:
    head = trace.header()

    assert head.created.endswith("+00:00")
    assert head.machine
    assert head.speculatoviz


def test_every_line_is_complete_once_it_is_written(events: list[Event], tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    with path.open("w", encoding="utf-8") as out:
        writer = trace.TraceWriter(out, trace.header("here"), never)
        for count, event in enumerate(events):
            assert trace.read(path).events == events[:count]
            writer.write(event)


def test_a_header_alone_is_a_trace_without_events(tmp_path: Path) -> None:
    path = tmp_path / "begun.jsonl"
    path.write_text(trace.header("here").model_dump_json() + "\n")

    assert trace.read(path).events == []


separators = st.sampled_from('\n\r\t\v\f\x1c\x1d\x1e\x1f\x7f\x85\u2028\u2029\0\ufeff語🙂a"\\')


@settings(deadline=None)
@given(text=st.text(separators, max_size=12))
def test_any_text_reads_back_unchanged(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = io.StringIO()
    said = Failure(run="r", seq=1, t_ms=0.0, code="x", message=text, hint="")
    trace.TraceWriter(written, trace.header("here"), never).write(said)
    path = tmp_path_factory.getbasetemp() / "text.jsonl"
    path.write_text(written.getvalue(), encoding="utf-8", newline="")

    assert trace.read(path).events == [said]


def test_a_trace_that_is_cut_off_anywhere_is_read_up_to_its_last_whole_line(file: Path, events: list[Event]) -> None:
    """Within a character of several bytes too, which no text reader survives."""
    data = file.read_bytes()
    end = data.index(b"\n", data.index(b"\n") + 1) + 400
    data = data[:end] + "語".encode()[:2]
    for length in range(data.index(b"\n") + 1, len(data)):
        file.write_bytes(data[:length])
        whole = data[:length].count(b"\n")
        read = trace.read(file)
        last_is_whole = len(read.events) == whole  # all of it but its line feed
        assert read.events == events[: whole - 1 + last_is_whole]
        assert read.warning is not None
        if length and not data[:length].endswith(b"\n") and not last_is_whole:
            assert read.warning.startswith(f"Line {whole + 1} of {file} is incomplete")


def test_a_crash_may_leave_zeros_in_the_last_line(file: Path, events: list[Event]) -> None:
    file.write_bytes(file.read_bytes() + b"\0" * 4096)
    read = trace.read(file)

    assert read.events == events
    assert read.warning is not None
    assert "cut off there" in read.warning


def test_a_trace_without_an_end_is_read_with_a_warning(file: Path, events: list[Event]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    file.write_text("\n".join(lines[:9]) + "\n", encoding="utf-8")
    read = trace.read(file)

    assert read.events == events[:8]
    assert read.warning == f"{file} ends before its run does."


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(file: Path, events: list[Event]) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))

    assert trace.read(file).events == events


class Disk(io.StringIO):
    """Holds `room` characters; its failed writes leave what fitted, as a disk does."""

    def __init__(self, room: int, text: str = "") -> None:
        super().__init__(text)
        self.room = room
        self.seek(0, io.SEEK_END)

    def write(self, text: str) -> int:
        free = self.room - self.tell()
        super().write(text[: max(free, 0)])
        if len(text) > free:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(text)


def test_a_full_disk_ends_the_trace_with_one_warning(events: list[Event], tmp_path: Path) -> None:
    warnings: list[str] = []
    disk = Disk(5000)
    writer = trace.TraceWriter(disk, trace.header("here"), warnings.append)
    for event in events:
        writer.write(event)
    path = tmp_path / "cut.jsonl"
    path.write_text(disk.getvalue(), encoding="utf-8")
    read = trace.read(path)

    assert not writer.open
    assert warnings == [
        "The trace cannot be written any more (No space left on device). The run goes on without trace."
    ]
    assert 0 < len(read.events) < len(events)
    assert read.events == events[: len(read.events)]
    assert read.warning is not None


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def written_in(folder: Path, step_s: float, events: list[Event], sync: Callable[[int], None]) -> list[str]:
    """Writes the events `step_s` apart, and returns the warnings."""
    clock, warnings = Clock(), list[str]()
    with (folder / "synced.jsonl").open("w", encoding="utf-8") as out:
        writer = trace.TraceWriter(out, trace.header("here"), warnings.append, clock, sync)
        for event in events:
            clock.now_s += step_s
            writer.write(event)
        writer.close()
    return warnings


def test_what_is_written_goes_to_the_disk_at_least_once_a_second(events: list[Event], tmp_path: Path) -> None:
    synced: list[int] = []

    def note(number: int) -> None:
        os.fsync(number)
        synced.append((tmp_path / "synced.jsonl").read_bytes().count(b"\n") - 1)

    assert written_in(tmp_path, 0.4, events, note) == []
    last = len(events)
    assert synced[-1] == last
    assert all(later - earlier <= 3 for earlier, later in zip([0, *synced], synced, strict=False)), "1.2 s apart"
    slow = len(synced)
    assert written_in(tmp_path, 0.0001, events, note) == []
    assert len(synced) - slow == 1, "a fast run does not wait for the disk at every event"


def test_a_disk_that_fails_later_ends_the_trace_in_words(events: list[Event], tmp_path: Path) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    [warning] = written_in(tmp_path, 0.4, events, full)
    assert "No space left on device" in warning
    assert "The run goes on without trace." in warning


def test_a_pipe_has_no_disk(events: list[Event], tmp_path: Path) -> None:
    def no_disk(number: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    assert written_in(tmp_path, 2.0, events, no_disk) == []
    assert trace.read(tmp_path / "synced.jsonl").events == events


CRASH = """
import os, signal, sys
from pathlib import Path
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Failure
with trace.create(Path(sys.argv[1]), print) as writer:
    for seq in range(40):
        writer.write(Failure(run="r", seq=seq, t_ms=0.0, code="x", message="m" * 200, hint=""))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_is_killed_loses_nothing_that_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    done = subprocess.run([sys.executable, "-c", CRASH, str(path)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert [event.seq for event in trace.read(path).events] == list(range(40))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_from_the_start_is_refused_in_words() -> None:
    with pytest.raises(TraceError, match="No space left"), trace.create(Path("/dev/full"), never):
        pass


def test_a_trace_that_cannot_begin_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "run.jsonl"):
        with pytest.raises(TraceError, match="cannot be written") as error, trace.create(path, never):
            pass
        assert "--trace" in error.value.hint
    with pytest.raises(OSError, match="No space left"):
        trace.TraceWriter(Disk(10), trace.header("here"), never)


def test_an_earlier_trace_is_replaced_by_the_first_event_and_not_before(events: list[Event], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("an earlier trace\n" * 9)
    with trace.create(path, never):
        assert path.read_text() == "an earlier trace\n" * 9
    assert path.read_text() == "an earlier trace\n" * 9
    with trace.create(path, never) as writer:
        for event in events:
            writer.write(event)
        assert trace.read(path).events == events


@pytest.mark.parametrize(
    ("number", "line"),
    [(3, ""), (2, "hello"), (4, '{"type": "weather"}'), (5, '{"type": "queued", "run": "r", "seq": 1, "t_ms": NaN}')],
)
def test_a_line_that_is_no_event_is_refused_with_its_number(file: Path, number: int, line: str) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[number - 1] = line
    file.write_text("\n".join(lines), encoding="utf-8")

    assert f"Line {number} of" in refused(file).message


def test_a_trace_of_another_version_is_refused_with_both_versions(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"version":2', '"version":7', 1), encoding="utf-8")

    error = refused(file)
    assert "version 7" in error.message
    assert "version 2" in error.message
    assert "newer SpeculatoViz" in error.hint


def test_a_newer_version_is_refused_whatever_its_header_holds(file: Path) -> None:
    file.write_text('{"type": "trace", "version": 3, "when": "later"}\n{"new": 1}\n')
    assert "version 3" in refused(file).message


@pytest.mark.parametrize("version", ['"2"', "0", "-1", "null", "2.5", "true"])
def test_a_version_that_is_none_is_refused(file: Path, version: str) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"version":2', f'"version":{version}', 1), encoding="utf-8")
    assert "does not begin like a trace" in refused(file).message


# --- what later programs add --------------------------------------------------------------------------

LATER = '{"type": "weather", "run": "r", "seq": 9, "t_ms": 1.5, "sky": {"blue": [1, 2]}}'


def with_later_parts(file: Path) -> list[dict[str, Any]]:
    """Adds fields at every level, in the header too, and an event of a new type. Returns the lines."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line["later"] = {"deep": [1, "é"]}
        if line["type"] == "started":
            line["sampling"]["later"] = 2.5
            line["target_model"]["later"] = None
    lines.insert(3, json.loads(LATER))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return lines


def test_fields_and_events_of_later_programs_are_passed_over(file: Path, events: list[Event]) -> None:
    with_later_parts(file)
    assert trace.read(file).events == events
    assert trace.read(file).warning is None


def test_a_copy_keeps_what_it_does_not_know(file: Path, tmp_path: Path) -> None:
    lines = with_later_parts(file)
    copy = tmp_path / "copy.jsonl"

    assert trace.convert(file, copy) is None
    assert [json.loads(line) for line in copy.read_text(encoding="utf-8").splitlines()] == lines
    assert trace.read(copy) == trace.read(file)
    assert trace.convert(copy, copy) is None, "a file can be converted in place"
    assert [json.loads(line) for line in copy.read_text(encoding="utf-8").splitlines()] == lines
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_copy_of_a_trace_that_was_cut_off_is_whole(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    copy = tmp_path / "copy.jsonl"
    warning = trace.convert(file, copy)

    assert warning is not None
    assert warning.startswith("Line")
    assert trace.read(copy).events == trace.read(file).events
    assert copy.read_bytes().endswith(b"}\n")


def test_a_copy_that_cannot_be_written_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        trace.convert(file, tmp_path / "missing" / "copy.jsonl")


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with pytest.raises(TraceError, match="cannot be read"):
        trace.read(path)
    path.write_bytes(b"")
    assert "is empty" in refused(path).message
    path.write_bytes(b"\xff\xfe\0")
    assert "does not begin like a trace" in refused(path).message
    path.write_text('{"type": "queued"}\n')
    assert "does not begin like a trace" in refused(path).message


def test_a_trace_holds_the_whole_text(file: Path) -> None:
    read = trace.read(file).events
    [done] = [event for event in read if event.type == "done"]
    shown = "".join(event.text for event in read if isinstance(event, VerifyResult))

    assert shown + done.text_tail == done.generated_text != ""
