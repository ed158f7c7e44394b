"""The file of runs: what is written is read again, and a file that was cut off stays usable."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from speculatoviz.bench.peers.runs import (
    PeerRun,
    Timing,
    Way,
    as_line,
    latest,
    read_entries,
)
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.journal import drop_broken_line
from support.peers import about

RUN = PeerRun(
    Way("speculatoviz", "model, depth 2", "ik", "model", 2),
    "coding",
    0,
    0.7,
    Timing(10, 20.5, 8, 4, 3.25, (0, 2, 3), (1, 4)),
    1.25,
    10.0,
)
FAILED = PeerRun(Way("llama.cpp", "plain"), "writing", 1, 0.0, error="It has ended.")


def test_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    entries = [RUN, FAILED, about(ik={1: 1.0, 2: 1.5})]
    file = tmp_path / "runs.jsonl"
    file.write_bytes(b"".join(map(as_line, entries)))

    assert read_entries(file) == entries
    assert read_entries(tmp_path / "nowhere") == []


def test_a_line_that_was_cut_off_is_left_out_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    whole = as_line(RUN)
    file.write_bytes(whole + as_line(FAILED)[:40])

    assert read_entries(file) == [RUN]
    drop_broken_line(file)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{}\n", b"[1]\n", b"not JSON\n", b"\xff\n"])
def test_another_file_is_refused_with_the_number_of_its_line(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_bytes(as_line(RUN) + line)

    with pytest.raises(BadRequestError, match=r"Line 2 of .*runs.jsonl is not a run"):
        read_entries(file)


def test_the_last_of_several_runs_counts() -> None:
    again = replace(FAILED, error=None, ratio=2.0)

    assert latest([FAILED, about(), RUN, again]) == [again, RUN]


def test_rates_and_labels() -> None:
    assert RUN.timing is not None
    assert RUN.timing.tps == pytest.approx(10 / 0.0205)
    assert math.isnan(Timing(0, 5.0).tps)
    assert RUN.way.label == "speculatoviz on ik: model, depth 2"
    assert FAILED.way.label == "llama.cpp: plain"
