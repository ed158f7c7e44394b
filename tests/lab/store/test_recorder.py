"""Recording a run: whole, beside the run, cut off where the process is killed, and never at the run's cost."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.errors import ModelError, StoreError
from speculatoviz.lab.store import recorder as module
from speculatoviz.lab.store.recorder import CHUNK_S, Recorder, warning_of
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.store.summary import RunSummary
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event, Failure
from support.kept import renamed
from support.live_server import PATIENCE_S, poll


class Watched(RunStore):
    """A store that counts appends, and that a test can make fail or block."""

    failing = False
    appended = 0
    gate = threading.Event()
    blocked = False

    def append(self, run: str, number: int, lines: bytes, summary: RunSummary) -> bool:
        self.blocked = not self.gate.is_set()
        assert self.gate.wait(PATIENCE_S)
        if self.failing:
            raise StoreError("The disk is full.", "Make room.")
        self.appended += 1
        return super().append(run, number, lines, summary)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    store = Watched.open(str(tmp_path / "runs.db"))
    assert isinstance(store, Watched)
    store.gate = threading.Event()
    store.gate.set()
    yield store
    store.gate.set()


def events_of(store: RunStore, run: str) -> list[Event]:
    return trace.parse(b"".join(store.trace(run)), run).events


def test_a_recorded_run_is_the_run(store: RunStore, events: list[Event]) -> None:
    recorder = Recorder(store, now=lambda: 1_800_000_000.5)
    with recorder.ending("abcd"):
        for event in renamed(events, "abcd"):
            recorder.add(event)
    recorder.close()

    found = store.get("abcd")
    assert found.created_ms == 1_800_000_000_500
    assert isinstance(events[-1], Done)
    assert found.summary.ended == events[-1].finish_reason
    assert events_of(store, "abcd") == renamed(events, "abcd")


def test_a_run_that_cannot_be_written_down_ends_no_other_recording(
    watched: Watched, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A text with half a character is no JSON."""
    recorder = Recorder(watched)
    for event in renamed(events, "half", prompt="\ud83d"):
        recorder.add(event)
    for event in renamed(events, "whole"):
        recorder.add(event)
    recorder.close()

    assert "recording failed" in caplog.text
    assert events_of(watched, "whole") == renamed(events, "whole")


def test_several_runs_at_a_time_are_kept_apart(watched: Watched, events: list[Event]) -> None:
    recorder = Recorder(watched)
    for pair in zip(renamed(events, "left"), renamed(events, "right"), strict=True):
        for event in pair:
            recorder.add(event)
    recorder.close()

    assert events_of(watched, "left") == renamed(events, "left")
    assert events_of(watched, "right") == renamed(events, "right")


def test_events_are_written_once_they_have_waited_for_the_time_of_a_chunk(
    watched: Watched, events: list[Event]
) -> None:
    """Fewer transactions than events, and no event waits for the end of its run."""
    now_s = [0.0]
    recorder = Recorder(watched, clock=lambda: now_s[0])
    *most, last = renamed(events, "abcd")[:-1]
    for event in most:
        recorder.add(event)
    now_s[0] = CHUNK_S
    recorder.add(last)
    poll(lambda: watched.appended > 0, "a chunk is written")
    now_s[0] = 2 * CHUNK_S
    poll(lambda: len(events_of(watched, "abcd")) == len(most) + 1, "all of them are written")
    assert watched.appended <= 3 < len(most)
    assert watched.get("abcd").summary.ended is None
    recorder.close()


KILLED = """
import sys
from pathlib import Path
from speculatoviz.lab.store.recorder import Recorder
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.telemetry import trace
place, file = sys.argv[1:]
recorder = Recorder(RunStore.open(place))
for event in trace.read(Path(file)).events[:-1]:
    recorder.add(event)
sys.stdin.read()  # until it is killed
"""


def test_a_killed_process_leaves_what_was_written_and_no_end(tmp_path: Path, events: list[Event]) -> None:
    file, place = tmp_path / "run.jsonl", str(tmp_path / "runs.db")
    with trace.create(file, pytest.fail) as writer:
        for event in renamed(events, "abcd"):
            writer.write(event)
    store = RunStore.open(place)
    with subprocess.Popen([sys.executable, "-c", KILLED, place, str(file)], stdin=subprocess.PIPE) as process:
        poll(lambda: bool(store.page().runs) and len(events_of(store, "abcd")) == len(events) - 1, "they are written")
        process.send_signal(signal.SIGKILL)
    found = RunStore.open(place)

    assert found.get("abcd").summary.ended is None
    assert found.get("abcd").summary.tokens > 0
    read = trace.parse(b"".join(found.trace("abcd")), "abcd")
    assert read.events == renamed(events, "abcd")[:-1]
    assert read.warning is not None


def test_a_failing_store_ends_the_recording_in_words_and_later_runs_are_tried_anew(
    watched: Watched, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(watched)
    watched.failing = True
    with recorder.ending("first"):
        for event in renamed(events, "first"):
            recorder.add(event)
    poll(lambda: "first" in caplog.text, "the failure is reported")
    error = recorder.trouble("first")
    assert error is not None
    assert recorder.trouble("first") is None  # once
    warning = warning_of(error, renamed(events, "first")[-2])
    assert (warning.run, warning.message) == (
        "first",
        "This run is not recorded from here on. The disk is full.",
    )
    watched.failing = False
    for event in renamed(events, "second"):
        recorder.add(event)
    recorder.close()

    assert events_of(watched, "first") == []
    assert events_of(watched, "second") == renamed(events, "second")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_run_waits_for_no_store_and_a_store_that_is_too_slow_is_given_up(
    watched: Watched, events: list[Event], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3 * len(events))
    watched.gate.clear()  # the store answers nothing from here on
    recorder = Recorder(watched)
    for event in renamed(events, "slow")[:-1]:
        recorder.add(event)
    for number in range(10):
        for event in renamed(events, f"run-{number}"):
            recorder.add(event)  # returns, though nothing is written
        poll(lambda: watched.blocked, "the store is waited for")
    watched.gate.set()
    recorder.close()

    assert "too slow" in caplog.text
    kept = {run.id for run in watched.page(100).runs}
    assert {"slow", "run-0"} <= kept  # what was taken is written
    assert events_of(watched, "run-0") == renamed(events, "run-0")
    assert "run-9" not in kept


def test_closing_does_not_wait_for_a_store_that_hangs(
    watched: Watched, events: list[Event], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_CLOSING_S", 0.05)
    watched.gate.clear()
    recorder = Recorder(watched)
    for event in renamed(events, "abcd"):
        recorder.add(event)
    recorder.close()

    assert "does not answer" in caplog.text


def record_and_raise(recorder: Recorder, events: list[Event], error: BaseException) -> None:
    with recorder.ending("abcd"):
        for event in events:
            recorder.add(event)
        raise error


@pytest.mark.parametrize(
    ("error", "ended", "words"),
    [
        (ModelError("The file is gone.", "Fetch it."), "error", "The file is gone. Fetch it."),
        (ValueError("odd"), "error", "The run failed (odd)."),
        (KeyboardInterrupt(), "cancelled", None),
        (GeneratorExit(), "cancelled", None),
    ],
)
def test_a_run_that_sends_no_end_gets_one(
    watched: Watched, events: list[Event], error: BaseException, ended: str, words: str | None
) -> None:
    recorder = Recorder(watched)
    with pytest.raises(type(error)):
        record_and_raise(recorder, renamed(events, "abcd")[:-1], error)
    recorder.close()

    summary = watched.get("abcd").summary
    assert (summary.ended, summary.failure) == (ended, words)
    assert isinstance(events_of(watched, "abcd")[-1], Failure)


def test_a_run_that_a_user_removes_is_not_recorded_again(watched: Watched, events: list[Event]) -> None:
    now_s = [0.0]
    recorder = Recorder(watched, clock=lambda: now_s[0])
    first, *rest = renamed(events, "abcd")
    recorder.add(first)
    poll(lambda: bool(watched.page().runs), "the run is there")
    watched.remove("abcd")
    for event in rest:
        recorder.add(event)
    recorder.close()

    assert watched.page().runs == []


def test_a_new_run_removes_the_oldest(watched: Watched, events: list[Event]) -> None:
    recorder = Recorder(watched, most_runs=2)
    for number in range(4):
        for event in renamed(events, f"run-{number}"):
            recorder.add(event)
    recorder.close()

    assert [run.id for run in watched.page().runs] == ["run-3", "run-2"]


def test_events_of_no_run_and_of_runs_that_never_started_are_left_out(watched: Watched, events: list[Event]) -> None:
    recorder = Recorder(watched)
    recorder.add(Failure(run=None, seq=0, t_ms=0.0, code="x", message="No.", hint=""))
    recorder.add(renamed(events, "late")[-1])
    recorder.end("late")
    recorder.close()

    assert watched.page().runs == []
    assert isinstance(events[-1], Done)
