"""Where the synchronous engine meets the network: one event loop in a thread of its own, and what waits on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from speculatoviz.core.types import Verdict
from speculatoviz.errors import CancelledError

T = TypeVar("T")

_LOOK_S = 0.02  # between two looks at whether the run was cancelled


class LoopThread:
    """Runs coroutines of remote targets. Started with the first one, ended by `close`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def start(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Begin `work()` in the loop; cancelling the future cancels it there."""
        if self._portal is None:
            self._portal = self._stack.enter_context(start_blocking_portal())
        return self._portal.start_task_soon(work)

    def call(self, work: Callable[[], Awaitable[T]], cancelled: Callable[[], bool] = lambda: False) -> T:
        """Run `work()` and wait. Raises what it raises, and CancelledError once cancelled."""
        return wait(self.start(work), cancelled)

    def iterate(
        self, items: Callable[[], AsyncIterator[T]], cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[T]:
        """The items as they come. Raises what `items` raises, and CancelledError once cancelled."""
        queue: SimpleQueue[T | None] = SimpleQueue()

        async def pump() -> None:
            try:
                async for item in items():
                    queue.put(item)
            finally:
                queue.put(None)

        future = self.start(pump)
        try:
            while (item := _next(queue, cancelled)) is not None:
                yield item
            future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        self._portal = None
        self._stack.close()


class RemotePending:
    """A verification under way on the loop."""

    def __init__(self, future: Future[Verdict], cancelled: Callable[[], bool]) -> None:
        self._future, self._cancelled = future, cancelled

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Verdict:
        return wait(self._future, self._cancelled)

    def cancel(self) -> None:
        self._future.cancel()


def wait(future: Future[T], cancelled: Callable[[], bool]) -> T:
    """The result of a future. Raises what it raises, and CancelledError once cancelled."""
    while True:
        if cancelled():
            future.cancel()
            raise CancelledError
        try:
            return future.result(_LOOK_S)
        except TimeoutError:
            if future.done():  # its own, not that of waiting
                raise
        except FutureCancelledError:
            raise CancelledError from None


def _next(queue: SimpleQueue[T | None], cancelled: Callable[[], bool]) -> T | None:
    while True:
        if cancelled():
            raise CancelledError
        try:
            return queue.get(timeout=_LOOK_S)
        except Empty:
            continue
