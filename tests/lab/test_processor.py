"""Whose processor time counts as whose."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.lab import processor
from speculatoviz.lab.processor import Usage, usage_so_far

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system does not give processor times")


def test_shares_of_what_was_used_between_two_moments() -> None:
    used = Usage(400.0, 30.0, 5600.0).since(Usage(100.0, 20.0, 5000.0))

    assert used == Usage(300.0, 10.0, 600.0)
    assert used.foreign_share == pytest.approx(290.0 / 600.0)
    assert Usage(310.0, 0.0, 300.0).foreign_share == 0.0  # clocks tick every 10 ms
    assert Usage(0.0, 0.0, 0.0).foreign_share == 0.0


@pytest.fixture
def burnt() -> Iterator[int]:
    """A process that has used half a second, and waits."""
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@LINUX
def test_times_belong_to_the_process_that_used_them(burnt: int) -> None:
    here, there, none = os.getpid(), burnt, None
    decoding_there = usage_so_far(there, [here, there, none])
    waiting_there = usage_so_far(here, [here, there, none])
    assert decoding_there is not None
    assert waiting_there is not None

    assert waiting_there.waiting >= 490.0
    assert decoding_there.waiting == 0.0  # this process asks, and never waits
    assert decoding_there.decoding >= waiting_there.decoding + 480.0
    assert decoding_there.together >= decoding_there.decoding


@LINUX
def test_a_process_that_has_ended_uses_nothing(burnt: int) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    found = usage_so_far(burnt, [gone.pid])

    assert found is not None
    assert found.waiting == 0.0


def test_a_system_without_these_files_gives_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "_read", lambda _file: None)

    assert usage_so_far(os.getpid(), []) is None


@LINUX
def test_idle_time_is_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    tick_ms = 1000.0 / os.sysconf("SC_CLK_TCK")
    texts = {
        "/proc/stat": "cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9",
        "process": "7 (a) b) S " + "0 " * 10 + "3 4 0",
    }
    monkeypatch.setattr(processor, "_read", lambda file: texts.get(file, texts["process"]))
    found = usage_so_far(None, [])

    assert found == Usage(7 * tick_ms, 0.0, 63 * tick_ms)
