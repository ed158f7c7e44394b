"""Passes are timed in a child process, and the table is kept until machine, library or file change."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models import libraries, row_times
from speculatoviz.models.base import PREFILL_TOKENS, Feed, Rows
from speculatoviz.models.files.child import run_child
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.row_times import ROWS, all_kept, require_memory, time_passes
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support.runtimes import of_gguf
from support.tiny_gguf import write_tiny

PASS_MS = {1: 10.0, 2: 12.0, 4: 16.0, 8: 30.0}


def report(pass_ms: object) -> str:
    return "speculatoviz: " + json.dumps({"pass_ms": pass_ms}) + "\n"


class Child:
    """Stands in for the child process. started: the arguments of every one."""

    def __init__(self) -> None:
        self.started: list[tuple[str, ...]] = []
        self.stdout, self.stderr, self.returncode = report(PASS_MS), "", 0

    def __call__(self, _module: str, *arguments: str, timeout_s: float | None = None) -> object:
        assert timeout_s is not None
        self.started.append(arguments)
        return subprocess.CompletedProcess(arguments, self.returncode, self.stdout, self.stderr)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    made = Child()
    monkeypatch.setattr(row_times, "run_child", made)
    return made


@pytest.fixture
def file(tmp_path: Path) -> GgufFile:
    return read(write_tiny(tmp_path / "tiny.gguf"))


# --- what is timed ------------------------------------------------------------------------------------


class Timed(ToyModel):
    """A toy whose pass takes 3 ms for each row, and more if something else runs."""

    def __init__(self, disturbed_s: Callable[[int], float]) -> None:
        super().__init__(0, ALPHABET)
        self.now_s, self.passes, self._disturbed_s = 100.0, 0, disturbed_s

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self.passes += 1
        self.now_s += 0.003 * len(feeds[0].tokens) + self._disturbed_s(self.passes)
        return super().forward(feeds)


PREFILLS, ROUND = 128 // PREFILL_TOKENS, len(ROWS)


def test_the_fastest_pass_counts() -> None:
    quiet = 3  # one round of five
    begin = PREFILLS + ROUND * quiet
    model = Timed(lambda number: 0.0 if begin < number <= begin + ROUND else 0.05)
    assert time_passes(model, lambda: model.now_s) == pytest.approx({rows: 3.0 * rows for rows in ROWS})
    assert model.passes == PREFILLS + ROUND * 6  # one round to warm up


def test_a_slow_model_is_timed_once() -> None:
    model = Timed(lambda _: 60.0)
    assert time_passes(model, lambda: model.now_s) == pytest.approx({rows: 60_000 + 3.0 * rows for rows in ROWS})
    assert model.passes == PREFILLS + 2 * ROUND


@of_gguf
def test_a_child_process_times_a_file(file: GgufFile, runtime: libraries.Runtime, tmp_path: Path) -> None:
    times = row_times.row_times(file, runtime, 1, tmp_path / "cache")
    assert set(times.pass_ms) == set(ROWS)
    assert all(ms > 0 for ms in times.pass_ms.values())
    assert list(all_kept(tmp_path / "cache")) == [times]


# --- what is kept -------------------------------------------------------------------------------------


def test_a_table_is_measured_once_and_again_when_asked(file: GgufFile, child: Child, tmp_path: Path) -> None:
    assert list(all_kept(tmp_path)) == []
    first = row_times.row_times(file, "ik", 2, tmp_path)
    assert first.pass_ms == PASS_MS
    child.stdout = report(PASS_MS | {8: 40.0})
    assert row_times.row_times(file, "ik", 2, tmp_path) == first
    assert list(all_kept(tmp_path)) == [first]
    assert child.started == [(str(file.path), "ik", "2", "plain")]
    assert row_times.row_times(file, "ik", 2, tmp_path, anew=True).pass_ms[8] == 40.0
    assert row_times.row_times(file, "ik", 2, tmp_path).pass_ms[8] == 40.0
    assert len(child.started) == 2


def test_a_model_whose_states_are_read_has_a_table_of_its_own(file: GgufFile, child: Child, tmp_path: Path) -> None:
    plain = row_times.row_times(file, "ik", 2, tmp_path)
    child.stdout = report(PASS_MS | {8: 40.0})
    for _ in range(2):
        assert row_times.row_times(file, "ik", 2, tmp_path, watched=True).pass_ms[8] == 40.0
    assert [started[-1] for started in child.started] == ["plain", "watched"]
    assert row_times.row_times(file, "ik", 2, tmp_path) == plain
    assert list(all_kept(tmp_path)) == [plain], "what is compared with other runtimes is the table without reading"


def test_another_file_library_machine_or_thread_count_is_measured(
    file: GgufFile, child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(file: GgufFile, runtime: libraries.Runtime = "ik", threads: int = 2) -> int:
        for _ in range(2):
            row_times.row_times(file, runtime, threads, tmp_path)
        return len(child.started)

    assert started(file) == 1
    assert started(file, threads=1) == 2
    assert started(file, "llamacpp") == 3
    os.utime(file.path, ns=(0, file.path.stat().st_mtime_ns + 10**9))
    assert started(file) == 4
    monkeypatch.setattr(libraries, "version", lambda _: "99")
    assert started(file) == 5
    monkeypatch.setattr(row_times, "installed_at_ns", lambda _: 7)
    assert started(file) == 6
    monkeypatch.setattr(row_times, "processor", lambda: "Another One")
    assert started(file) == 7
    monkeypatch.setattr(row_times, "usable_cores", lambda: 64)
    assert started(file) == 8


def test_tables_of_a_changed_file_and_of_another_build_are_not_listed(
    file: GgufFile, child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in ("llamacpp", "ik"):
        row_times.row_times(file, runtime, 2, tmp_path)
    (tmp_path / "row_times" / "other.json").write_text("[]")
    assert sorted(times.runtime for times in all_kept(tmp_path)) == ["ik", "llamacpp"]
    monkeypatch.setattr(row_times, "installed_at_ns", lambda runtime: 7 if runtime == "ik" else 0)
    row_times.row_times(file, "ik", 2, tmp_path)
    assert [times.runtime for times in all_kept(tmp_path)] == ["ik"]
    os.utime(file.path, ns=(0, file.path.stat().st_mtime_ns + 10**9))
    assert list(all_kept(tmp_path)) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"pass_ms": {"1": 3}}', report(PASS_MS | {4: -1}), "\0"])
def test_a_damaged_table_is_measured_again(damage: str, file: GgufFile, child: Child, tmp_path: Path) -> None:
    row_times.row_times(file, "ik", 2, tmp_path)
    (kept,) = (tmp_path / "row_times").glob("*.json")
    kept.write_text(damage.removeprefix("speculatoviz: "))
    assert row_times.row_times(file, "ik", 2, tmp_path).pass_ms == PASS_MS
    assert len(child.started) == 2


def test_a_cache_that_cannot_be_written_costs_the_memory_alone(file: GgufFile, child: Child, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    for _ in range(2):
        assert row_times.row_times(file, "ik", 2, tmp_path / "cache").pass_ms == PASS_MS
    assert len(child.started) == 2


# --- what fails ---------------------------------------------------------------------------------------


def test_a_crash_is_a_refusal_in_words_and_not_kept(file: GgufFile, child: Child, tmp_path: Path) -> None:
    child.returncode, child.stdout, child.stderr = -6, "", "/build/ggml.c:7: GGML_ASSERT(rows > 0) failed\n"
    with pytest.raises(ModelError, match=r"could not be measured .* SIGABRT \(ggml.c:7: GGML_ASSERT\(rows > 0\)"):
        row_times.row_times(file, "ik", 2, tmp_path)
    child.returncode, child.stdout = 0, report(PASS_MS)
    assert row_times.row_times(file, "ik", 2, tmp_path).pass_ms == PASS_MS


def test_a_real_crash_ends_the_child_alone(tmp_path: Path) -> None:
    crashing = read(write_tiny(tmp_path / "tiny.gguf", fields={"{arch}.expert_count": 2}))
    with pytest.raises(ModelError, match=r"could not be measured .* SIGABRT"):
        row_times.row_times(crashing, "llamacpp", 1, tmp_path)


def test_a_refusal_of_the_child_is_passed_on(file: GgufFile, child: Child, tmp_path: Path) -> None:
    child.returncode = 1
    child.stdout = 'speculatoviz: {"message": "It could not load.", "hint": "Choose another."}\n'
    with pytest.raises(ModelError) as refusal:
        row_times.row_times(file, "ik", 2, tmp_path)
    assert (refusal.value.message, refusal.value.hint) == ("It could not load.", "Choose another.")


@pytest.mark.parametrize("stdout", ["", "speculatoviz: []", report({}), report({"1": 2}), report(7), report([1, 2])])
def test_a_child_that_ends_without_a_table_is_refused(
    stdout: str, file: GgufFile, child: Child, tmp_path: Path
) -> None:
    child.stdout = stdout
    with pytest.raises(ModelError, match="could not be measured"):
        row_times.row_times(file, "ik", 2, tmp_path)


def test_weights_are_not_copied_without_room(file: GgufFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_times, "available_bytes", lambda: file.size_bytes)
    with pytest.raises(ModelError, match=r"ik_llama\.cpp copies the weights, .* of memory are free"):
        require_memory(file, "ik")
    require_memory(file, "llamacpp")
    for enough in (None, file.size_bytes + 2 * 10**9):
        monkeypatch.setattr(row_times, "available_bytes", lambda enough=enough: enough)
        require_memory(file, "ik")


def test_the_child_is_this_module() -> None:
    ended = run_child(row_times.__name__, "missing.gguf", "llamacpp", "1", "plain", timeout_s=60)
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1].removeprefix("speculatoviz: "))["message"]
