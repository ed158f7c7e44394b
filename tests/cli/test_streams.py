"""Standard streams, disks and encodings that fail: the run goes on, or ends in words; never in a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest

from speculatoviz.cli.document import dump
from speculatoviz.cli.output import GuardedStream
from speculatoviz.errors import OutputError, ReaderGoneError
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done
from support import environment
from support.program import call, ended, run

GENERATE = ("generate", "once upon a time", "--target", "toy:0", "--draft", "toy:0~7", "--max-tokens", "40", "-k", "3")
COMMANDS = [GENERATE, (*GENERATE, "--json"), ("models", "list"), ("replay", "old.jsonl")]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


@contextmanager
def full_disk() -> Iterator[TextIO]:
    with Path("/dev/full").open("wb", buffering=0) as raw:
        yield TextIOWrapper(raw, encoding="utf-8", write_through=True)


@contextmanager
def unread_pipe() -> Iterator[TextIO]:
    """The writing end of a pipe whose reader has ended."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", encoding="utf-8") as file:
        yield file


def record(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    code, said = call(monkeypatch, StringIO(), *GENERATE, "--trace", file)
    assert code == 0, said


def whole_run(file: str | Path) -> Done:
    read = trace.read(Path(file))
    assert read.warning is None
    assert isinstance(read.events[-1], Done)
    return read.events[-1]


# --- standard output ----------------------------------------------------------------------------------


@needs_full
@pytest.mark.parametrize("arguments", COMMANDS, ids=["text", "json", "models", "replay"])
def test_a_full_standard_output_is_reported_once(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    record(monkeypatch, "old.jsonl")
    with full_disk() as full:
        code, said = call(monkeypatch, full, *arguments)

    assert code == 1
    assert said.count("Standard output cannot be written (No space left on device)") == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=["text", "json", "models", "replay"])
def test_a_reader_that_ends_early_ends_the_command_quietly(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    record(monkeypatch, "old.jsonl")
    with unread_pipe() as pipe:
        code, said = call(monkeypatch, pipe, *arguments)

    assert code == 141
    assert "output" not in said


@needs_full
@pytest.mark.parametrize("extra", [(), ("--json",)], ids=["text", "json"])
def test_a_lost_output_does_not_cost_the_trace(monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]) -> None:
    arguments = (*GENERATE, *extra)
    record(monkeypatch, "whole.jsonl")
    with full_disk() as full:
        assert call(monkeypatch, full, *arguments, "--trace", "full.jsonl")[0] == 1
    with unread_pipe() as pipe:
        assert call(monkeypatch, pipe, *arguments, "--trace", "unread.jsonl")[0] == 141
    assert call(monkeypatch, None, *arguments, "--trace", "closed.jsonl")[0] == 1

    expected = whole_run("whole.jsonl").token_ids
    for name in ("full", "unread", "closed"):
        assert whole_run(f"{name}.jsonl").token_ids == expected


@needs_full
def test_the_process_ends_as_its_command_does(tmp_path: Path) -> None:
    """What is still buffered must not fail again while the interpreter ends; help texts are guarded too."""
    with Path("/dev/full").open("wb") as full:
        assert "Standard output cannot be written" in ended(run(tmp_path, *GENERATE, stdout=full), 1)
    with unread_pipe() as pipe:
        assert ended(run(tmp_path, "--help", stdout=pipe), 141) == ""


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A trace opened as descriptor 2 would receive what C libraries print on standard error."""
    script = 'from speculatoviz.cli.output import prepare; prepare(); f = open("o", "w"); f.write(str(f.fileno()))'
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        command = ["/bin/sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", script]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert int((tmp_path / "o").read_text()) > 2


@needs_full
def test_a_full_standard_error_changes_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = run(tmp_path, *GENERATE, "--json", stderr=full)

    ended(process, 0)
    assert json.loads(process.stdout)["total_tokens"] > 0


# --- disks --------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_ends_the_trace_and_not_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record(monkeypatch, "whole.jsonl")
    process = run(tmp_path, *GENERATE, "--json", "--trace", "run.jsonl", file_bytes=8000)
    said = ended(process, 1)

    assert json.loads(process.stdout)["token_ids"] == whole_run("whole.jsonl").token_ids
    assert said.count("run.jsonl cannot be written any more (File too large)") == 1
    out = StringIO()
    code, replayed = call(monkeypatch, out, "replay", "run.jsonl")
    assert code == 0
    assert "of run.jsonl is incomplete and left out" in replayed
    assert "toy-0~7 F64 drafts 3 for toy-0 F64" in out.getvalue()


@needs_full
def test_a_trace_on_a_full_disk_is_refused_before_the_models_load(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = call(monkeypatch, StringIO(), "generate", "a", "--target", "toy:no", "--trace", "/dev/full")

    assert code == 1
    assert "/dev/full cannot be written (No space left on device)" in said


def test_a_run_that_cannot_start_leaves_an_earlier_trace_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    record(monkeypatch, "run.jsonl")
    before = Path("run.jsonl").read_bytes()
    code, _ = call(monkeypatch, StringIO(), "generate", "a", "--target", "toy:no", "--trace", "run.jsonl")

    assert code == 1
    assert Path("run.jsonl").read_bytes() == before
    record(monkeypatch, "run.jsonl")
    assert whole_run("run.jsonl").total_tokens > 0


def test_a_cache_that_cannot_be_written_costs_no_run(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    process = run(tmp_path, *GENERATE, "--json")
    said = ended(process, 0)

    assert json.loads(process.stdout)["total_tokens"] > 0
    assert said.count("cannot be written (Not a directory): pass times are not kept.") == 1
    assert str(tmp_path / "cache" / "pass_times") in said


# --- encodings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-16", "utf-8"])
def test_text_that_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    name = "語é🙂"
    record(monkeypatch, "run.jsonl")
    recorded = Path("run.jsonl").read_text(encoding="utf-8").replace('"name":"toy-0"', f'"name":"{name}"')
    Path("run.jsonl").write_text(recorded, encoding="utf-8")
    printed = BytesIO()
    out = TextIOWrapper(printed, encoding=encoding)  # closes `printed` with itself
    code, said = call(monkeypatch, out, "replay", "run.jsonl")

    assert (code, said) == (0, "")
    assert name.encode(encoding, "backslashreplace").decode(encoding) in printed.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16", "utf-8"])
def test_a_document_is_json_in_every_encoding(encoding: str) -> None:
    values = {"text": "語 é 🙂 \x1b[2J \x9b2J \x7f \udcff \u2028"}
    printed = dump(values, encoding)

    assert json.loads(printed.encode(encoding).decode(encoding)) == values
    controls = {*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)}
    assert not controls & set(map(ord, printed))


def test_an_encoding_of_the_terminal_loses_no_run(tmp_path: Path) -> None:
    process = run(tmp_path, *GENERATE, PYTHONIOENCODING="ascii")

    ended(process, 0)
    assert b"toy-0 F64 \\xb7 exact" in process.stdout
    assert b"mean acceptance length" in process.stdout


def test_arguments_that_are_no_text_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = call(monkeypatch, StringIO(), "generate", "caf\udce9", "--target", "toy:0")
    assert (code, said.splitlines()[0]) == (1, "bad_request: The prompt is not text in UTF-8.")

    code, said = call(monkeypatch, StringIO(), "replay", "\udcff.jsonl")
    assert (code, said.splitlines()[0]) == (1, "trace: \udcff.jsonl cannot be read (No such file or directory).")


# --- the stream itself --------------------------------------------------------------------------------


class Failing(StringIO):
    """Accepts `most` characters, then fails."""

    def __init__(self, most: int, error: OSError) -> None:
        super().__init__()
        self.most, self.error, self.writes = most, error, 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.tell() + len(text) > self.most:
            raise self.error
        return super().write(text)


def test_the_first_failure_is_raised_and_the_rest_is_dropped() -> None:
    inner = Failing(5, OSError(errno.ENOSPC, "No space left on device"))
    stream = GuardedStream(inner)
    stream.write("12345")
    with pytest.raises(OutputError, match="No space left"):
        stream.write("6")
    stream.write("7")
    stream.flush()

    assert (inner.getvalue(), inner.writes) == ("12345", 2)
    assert not stream.isatty()


def test_a_closed_pipe_is_told_from_a_full_disk() -> None:
    with pytest.raises(ReaderGoneError):
        GuardedStream(Failing(0, BrokenPipeError())).write("a")


def test_standard_error_fails_silently() -> None:
    stream = GuardedStream(Failing(0, OSError(errno.ENOSPC, "full")), required=False)

    assert stream.write("abc") == 3
    GuardedStream(None, required=False).write("abc")
