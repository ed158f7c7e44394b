"""A run on disk can be read again as it was; what cannot be read is refused with its line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import TraceError
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Failure, Queued, VerifyResult
from support import toy_session


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """A real run, with what a server adds in front and an error behind."""
    session = toy_session.load(tmp_path_factory.mktemp("cache"))
    run = toy_session.run(session, temperature=0.9, seed=4)
    before = Queued(run="r", seq=0, t_ms=0.0, place=1)
    after = Failure(run=None, seq=0, t_ms=0.0, code="bad_request", message="No.", hint="Yes.")
    return [before, *run, after]


@pytest.fixture
def file(events: list[Event], tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    with path.open("w", encoding="utf-8") as out:
        writer = trace.TraceWriter(out, trace.header("a machine"))
        for event in events:
            writer.write(event)
    return path


def refused(path: Path) -> TraceError:
    with pytest.raises(TraceError) as error:
        trace.read(path)
    assert error.value.hint
    return error.value


def test_a_trace_reads_back_as_it_was_written(file: Path, events: list[Event]) -> None:
    head, read = trace.read(file)

    assert read == events
    assert (head.version, head.machine) == (trace.VERSION, "a machine")


def test_a_trace_is_one_json_object_a_line(file: Path, events: list[Event]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")

    assert lines.pop() == ""
    assert [json.loads(line)["type"] for line in lines] == ["trace", *(event.type for event in events)]


def test_the_header_says_when_where_and_with_what() -> None:
    head = trace.header()

    assert head.created.endswith("+00:00")
    assert head.machine
    assert head.speculatoviz


def test_every_line_is_complete_once_it_is_written(events: list[Event], tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    with path.open("w", encoding="utf-8") as out:
        writer = trace.TraceWriter(out, trace.header("here"))
        for count, event in enumerate(events):
            assert trace.read(path)[1] == events[:count]
            writer.write(event)


def test_a_header_alone_is_a_trace_without_events(tmp_path: Path) -> None:
    path = tmp_path / "begun.jsonl"
    path.write_text(trace.header("here").model_dump_json() + "\n")

    assert trace.read(path)[1] == []


separators = st.sampled_from('\n\r\t\v\f\x1c\x1d\x1e\x1f\x7f\x85\u2028\u2029\0\ufeff語🙂a"\\')


@settings(deadline=None)
@given(text=st.text(separators, max_size=12))
def test_any_text_survives(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = io.StringIO()
    said = Failure(run="r", seq=1, t_ms=0.0, code="x", message=text, hint="")
    trace.TraceWriter(written, trace.header("here")).write(said)
    path = tmp_path_factory.getbasetemp() / "text.jsonl"
    path.write_text(written.getvalue(), encoding="utf-8", newline="")

    assert trace.read(path)[1] == [said]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_trace_that_was_cut_off_names_the_line(file: Path, cut: int) -> None:
    text = file.read_text(encoding="utf-8")
    whole = text.split("\n")
    file.write_text("\n".join(whole[:9]) + "\n" + whole[9][:cut], encoding="utf-8")

    error = refused(file)
    assert error.message == f"Line 10 of {file} is not an event of a run."
    assert "cut off" in error.hint


def test_what_was_cut_off_between_two_lines_is_read_as_far_as_it_goes(file: Path, events: list[Event]) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    file.write_text("\n".join(lines[:9]), encoding="utf-8")

    assert trace.read(file)[1] == events[:8]


@pytest.mark.parametrize(
    ("number", "line"),
    [(3, ""), (2, "hello"), (4, '{"type": "weather"}'), (5, '{"type": "queued", "run": "r", "seq": 1, "t_ms": NaN}')],
)
def test_a_line_that_is_no_event_is_named(file: Path, number: int, line: str) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[number - 1] = line
    file.write_text("\n".join(lines), encoding="utf-8")

    assert f"Line {number} of" in refused(file).message


def test_a_trace_of_another_version_says_both(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"version":2', '"version":7', 1), encoding="utf-8")

    error = refused(file)
    assert "version 7" in error.message
    assert "version 2" in error.message


def test_what_is_no_trace_at_all_is_said(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with pytest.raises(TraceError, match="cannot be read"):
        trace.read(path)
    path.write_bytes(b"")
    assert "is empty" in refused(path).message
    path.write_bytes(b"\xff\xfe\0")
    assert "cannot be read" in refused(path).message
    path.write_text('{"type": "queued"}\n')
    assert "does not begin like a trace" in refused(path).message


def test_a_trace_holds_the_whole_text(file: Path) -> None:
    read = trace.read(file)[1]
    [done] = [event for event in read if event.type == "done"]
    shown = "".join(event.text for event in read if isinstance(event, VerifyResult))

    assert shown + done.text_tail == done.generated_text != ""
