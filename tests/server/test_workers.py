"""The executor of blocking work: order, results, failures, and a process that ends although a call does not."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from speculatoviz.server.workers import DaemonExecutor

PATIENCE_S = 60.0


def test_calls_run_in_order_and_return_their_results() -> None:
    executor, order = DaemonExecutor(1, "test"), list[int]()
    futures = [executor.submit(lambda number=number: (order.append(number), number)[1]) for number in range(50)]

    assert [future.result(PATIENCE_S) for future in futures] == order == list(range(50))
    executor.shutdown()


def test_a_call_that_raises_raises_where_its_result_is_awaited_and_nowhere_else() -> None:
    executor = DaemonExecutor(1, "test")
    failed, works = executor.submit(lambda: 1 / 0), executor.submit(lambda: 7)

    assert works.result(PATIENCE_S) == 7
    with pytest.raises(ZeroDivisionError):
        failed.result(PATIENCE_S)
    executor.shutdown()


def test_several_threads_run_several_calls_at_once() -> None:
    executor, meeting = DaemonExecutor(3, "test"), threading.Barrier(3)
    futures = [executor.submit(meeting.wait, PATIENCE_S) for _ in range(3)]

    assert sorted(future.result(PATIENCE_S) for future in futures) == [0, 1, 2]
    executor.shutdown()


def test_calls_that_have_not_begun_can_be_dropped() -> None:
    executor, go, begun = DaemonExecutor(1, "test"), threading.Event(), threading.Event()
    runs = executor.submit(lambda: (begun.set(), go.wait(PATIENCE_S)))
    waits = executor.submit(lambda: pytest.fail("it began"))
    assert begun.wait(PATIENCE_S)
    executor.shutdown(wait=False, cancel_futures=True)

    assert waits.cancelled()
    assert not executor.ended.done()
    go.set()
    assert runs.result(PATIENCE_S) == (None, True)
    executor.ended.result(PATIENCE_S)


def test_after_the_end_nothing_is_accepted() -> None:
    executor = DaemonExecutor(2, "test")
    executor.shutdown()

    assert executor.ended.done()
    with pytest.raises(RuntimeError, match="not shut down"):
        executor.submit(lambda: None)


PROGRAM = """
import threading
from speculatoviz.server.workers import DaemonExecutor
begun = threading.Event()
DaemonExecutor(1, "test").submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
"""


def test_a_process_ends_although_a_call_does_not() -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM], check=False, timeout=PATIENCE_S).returncode == 0
