"""The folder of a sweep: what is written is read again, what cannot be compared is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError, TraceError
from speculatoviz.lab.sweep.records import RUNS, Folder, SweepRun, require_runs
from support.sweeps import MODEL, SUFFIX, about, folder_of, model, plain, run

FAILED = SweepRun("coding", 1, 0.0, MODEL, error="It has no draft.")


def test_entries_are_read_as_they_were_written_without_a_last_line_that_was_cut(tmp_path: Path) -> None:
    written = folder_of(tmp_path, [plain(), run(SUFFIX, 1.5), FAILED])
    assert Folder(tmp_path).entries == written.entries

    file = tmp_path / RUNS
    file.write_bytes(file.read_bytes()[:-9])
    again = Folder(tmp_path)
    assert again.entries == written.entries[:-1]
    again.open()
    again.append(FAILED)
    assert Folder(tmp_path).entries == written.entries


def test_the_latest_run_of_a_key_counts_and_every_plain_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [plain(), run(SUFFIX, 1.5), plain(), FAILED, run(SUFFIX, 2.0)])

    assert [found.speedup for found in folder.runs] == pytest.approx([None, None, None, 2.0])
    keys = [("coding", 0, 0.0, SUFFIX), ("coding", 1, 0.0, MODEL), ("coding", 2, 0.0, SUFFIX)]
    assert folder.missing(keys) == keys[1:]  # what failed is tried again


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"target": model("another")}, "target"),
        ({"machine": "another"}, "machine"),
        ({"max_tokens": 9}, "tokens"),
        ({"seed": 1}, "seed"),
        ({"prompts_sha256": "1" * 64}, "prompts"),
    ],
    ids=str,
)
def test_runs_that_cannot_be_compared_are_refused(changed: dict[str, object], named: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [])
    folder.check(replace(about(), draft=None, weights="b", created="later"))

    with pytest.raises(BadRequestError, match=f"another value of {named}"):
        folder.check(replace(about(), **changed))  # type: ignore[arg-type]


def test_traces_of_a_continued_sweep_do_not_replace_earlier_ones(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [])
    for number in range(2):
        folder.keep_trace(b"%d" % number)
    again = Folder(tmp_path)
    again.open()
    assert again.keep_trace(b"2") == "traces/000003.jsonl"
    assert [(tmp_path / f"traces/00000{number}.jsonl").read_bytes() for number in (1, 2, 3)] == [b"0", b"1", b"2"]


def test_a_trace_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [])
    (tmp_path / "traces" / "000001.jsonl").mkdir()
    with pytest.raises(TraceError, match=r"000001\.jsonl cannot be written"):
        folder.keep_trace(b"")


def test_a_folder_without_runs_and_one_of_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="holds no runs") as refused:
        require_runs(Folder(tmp_path / "nowhere"))
    assert "bench sweep" in refused.value.hint
    with pytest.raises(BadRequestError, match="The first error: It has no draft"):
        require_runs(folder_of(tmp_path / "failed", [plain(), FAILED]))

    (tmp_path / RUNS).write_text('{"kind": "other"}\n')
    with pytest.raises(BadRequestError, match=r"Line 1 of .* is not a run of a sweep"):
        Folder(tmp_path)
