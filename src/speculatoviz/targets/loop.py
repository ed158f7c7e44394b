"""One event loop in a thread of its own, which does the network calls of the synchronous engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from speculatoviz.core.rounds import SharedPass, Verdict
from speculatoviz.errors import CancelledError

T = TypeVar("T")

_POLL_S = 0.02  # seconds between two checks whether the run was cancelled


class Runs(Protocol):
    """The runs at the same time. runs: how many there are. aside: lets the others use this process's models."""

    @property
    def runs(self) -> int: ...
    def aside(self) -> AbstractContextManager[None]: ...


class OneRun:
    """There are no others."""

    runs = 1

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


class LoopThread:
    """Runs the coroutines of remote targets in a daemon thread, from the first coroutine until `close`.

    beside: the runs of the threads that wait for them: while one waits, others draft.
    """

    def __init__(self) -> None:
        self.beside: Runs = OneRun()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start `work()` on the loop. Cancelling the future cancels it there."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], cancelled: Callable[[], bool] = lambda: False) -> T:
        """The result of `work()`, run on the loop. Raises what it raises, and CancelledError once cancelled."""
        future = self.start(work)
        with self.beside.aside():
            return wait(future, cancelled)

    def iterate(
        self, items: Callable[[], AsyncIterator[T]], cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[T]:
        """Yield the items as they arrive. Raises what `items` raises, and CancelledError once cancelled."""
        queue: SimpleQueue[T | None] = SimpleQueue()

        async def pump() -> None:
            try:
                async for item in items():
                    queue.put(item)
            finally:
                queue.put(None)

        future = self.start(pump)
        try:
            while (item := self._next(queue, cancelled)) is not None:
                yield item
            future.result()
        finally:
            future.cancel()

    def pending(self, work: Callable[[], Coroutine[Any, Any, Verdict]], cancelled: Callable[[], bool]) -> RemotePending:
        """Start a verification. cancelled: of its request."""
        return RemotePending(self.start(work), cancelled, self.beside)

    def _next(self, queue: SimpleQueue[T | None], cancelled: Callable[[], bool]) -> T | None:
        with self.beside.aside():
            return _next(queue, cancelled)

    def close(self) -> None:
        """Cancel all coroutines and end the thread."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class RemotePending:
    """A verification that runs on the loop. beside: the runs at the same time."""

    def __init__(self, future: Future[Verdict], cancelled: Callable[[], bool], beside: Runs) -> None:
        self._future, self._cancelled, self._beside = future, cancelled, beside
        self._most_runs = beside.runs

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Verdict:
        if self._future.done():
            verdict = wait(self._future, self._cancelled)
        else:
            with self._beside.aside():
                verdict = wait(self._future, self._cancelled)
        runs = max(self._most_runs, self._beside.runs)
        return verdict if runs == 1 else replace(verdict, shared=SharedPass(runs, None, verdict.flight_ms or 0.0))

    def cancel(self) -> None:
        self._future.cancel()


def wait(future: Future[T], cancelled: Callable[[], bool]) -> T:
    """The result of a future. Raises what it raises, and CancelledError once cancelled."""
    done = False
    while not done:
        if cancelled():
            future.cancel()
            raise CancelledError
        done = bool(wait_for([future], _POLL_S).done)
    try:
        return future.result()
    except FutureCancelledError:
        raise CancelledError from None


def _next(queue: SimpleQueue[T | None], cancelled: Callable[[], bool]) -> T | None:
    while True:
        if cancelled():
            raise CancelledError
        try:
            return queue.get(timeout=_POLL_S)
        except Empty:
            continue
