"""Pass times on disk: the fastest is kept, damaged files are measured again, and no disk ends a run."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path

import pytest

from speculatoviz.measure.passes import PassTimes
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel


def times(folder: Path) -> PassTimes:
    return PassTimes(folder, ToyModel(0, ALPHABET).description, threads=1)


def stored(folder: Path) -> Path:
    [file] = folder.glob("*.json")
    return file


def test_the_fastest_measurement_is_kept_across_processes(tmp_path: Path) -> None:
    first, second = times(tmp_path), times(tmp_path)
    first.record(2, 5.0)
    second.record(2, 7.0)
    second.record(3, 9.0)
    first.record(1, 4.0)

    assert dict(first.ms) == dict(times(tmp_path).ms) == {1: 4.0, 2: 5.0, 3: 9.0}
    assert list(first.ms) == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[[" * 100_000,
        b'{"pass_ms": null}',
        b'{"pass_ms": {"2": null}}',
        b'{"pass_ms": {"two": 1.0}}',
        b'{"pass_ms": {"2": NaN, "3": -1.0, "4": Infinity, "0": 1.0}}',
    ],
)
def test_a_damaged_file_is_measured_again(content: bytes, tmp_path: Path) -> None:
    times(tmp_path).record(2, 5.0)
    stored(tmp_path).write_bytes(content)
    again = times(tmp_path)

    assert dict(again.ms) == {}
    again.record(2, 6.0)
    assert dict(times(tmp_path).ms) == {2: 6.0}


def test_a_folder_that_cannot_be_written_costs_the_file_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    kept = times(tmp_path / "cache" / "pass_times")
    kept.record(2, 5.0)
    kept.record(2, 4.0)
    kept.record(3, 6.0)

    assert dict(kept.ms) == {2: 4.0, 3: 6.0}
    assert caplog.messages == [
        f"{tmp_path}/cache/pass_times cannot be written (Not a directory): pass times are not kept."
    ]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), NotImplementedError("no locks on this file system")],
    ids=["full", "no locks"],
)
@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_disk_that_fails_at_any_step_leaves_the_stored_times(
    step: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times(tmp_path).record(2, 5.0)
    before = json.loads(stored(tmp_path).read_text())

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, step, fail)
    kept = times(tmp_path)
    kept.record(2, 4.0)

    assert dict(kept.ms) == {2: 4.0}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert json.loads(stored(tmp_path).read_text()) == before
