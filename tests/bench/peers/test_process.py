"""A worker in a process of its own: answers, errors, its end, and that it waits without computing."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from speculatoviz.bench.peers.process import WorkerProcess
from speculatoviz.errors import BadRequestError, ModelError, TargetError
from support.workers import Obedient


def start(name: str, stages: list[str] | None = None) -> WorkerProcess:
    return WorkerProcess("the engine", Obedient, (name,), ([] if stages is None else stages).append)


def test_methods_run_in_the_other_process_and_errors_come_back_whole() -> None:
    stages: list[str] = []
    with closing(start("one", stages)) as process:
        assert process.call("echo", {1: (2.5, None)}) == ("one", {1: (2.5, None)})
        with pytest.raises(BadRequestError, match="That is not allowed") as refused:
            process.call("refuse")
        assert refused.value.hint == "Ask for something else."
        assert process.call("echo", 1) == ("one", 1)  # an error ends nothing
        assert process.call("pid") == process.pid != os.getpid()
    assert stages == ["loading one"]


def test_what_the_start_raises_is_raised_here() -> None:
    with pytest.raises(ModelError, match="There is no such model"):
        start("missing")
    with pytest.raises(TargetError, match=r"The process of the engine has ended \(with status 3\)"):
        start("fatal")


def test_a_process_that_dies_is_told_in_words_again_and_again() -> None:
    with closing(start("one")) as process:
        for _ in range(2):
            with pytest.raises(TargetError, match=r"The process of the engine has ended \(by signal 9\)"):
                process.call("die")


def test_closing_ends_the_process() -> None:
    process = start("one")
    pid = process.pid
    assert pid is not None
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
