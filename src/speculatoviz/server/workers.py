"""Threads for work that would block the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(Executor):
    """Runs calls in `threads` daemon threads, in the order of submission.

    The executors of the standard library join their threads before the process ends, however long that takes. This
    one does not. ended: done once `shutdown` was called and every thread has returned from its last call.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.ended: Future[None] = Future()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._running = threads
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Raises RuntimeError after `shutdown`."""
        if self._closed:
            raise RuntimeError("expected an executor that is not shut down")
        future: Future[T] = Future()
        self._calls.put(_Call(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end after the calls submitted so far. cancel_futures: drop the calls that have not begun."""
        self._closed = True
        with suppress(Empty):
            while cancel_futures:
                if call := self._calls.get_nowait():
                    call.future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            self.ended.result()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            del call  # its result must not be kept until the next call
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self.ended.set_result(None)


class _Call:
    def __init__(self, future: Future[Any], work: Callable[[], Any]) -> None:
        self.future, self._work = future, work

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._work())
        except BaseException as error:  # raised where the result is awaited
            self.future.set_exception(error)
