"""The one place where the synchronous engine meets the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Generic[T]):
    """Runs an iterator in an executor and delivers its items to the event loop as soon as they exist.

    finished: done when the iterator has ended, however slowly its items are taken.
    """

    def __init__(self, executor: Executor, items: Callable[[], Iterator[T]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._failure: BaseException | None = None
        self.finished: asyncio.Future[None] = self._loop.run_in_executor(executor, self._work, items)

    async def __aiter__(self) -> AsyncIterator[T]:
        """The items. Ends once the executor is free again; raises what the iterator raised, after its last item."""
        while (item := await self._queue.get()) is not None:
            yield item
        await asyncio.wait([self.finished])
        if self._failure is not None:
            raise self._failure

    def _work(self, items: Callable[[], Iterator[T]]) -> None:
        try:
            for item in items():
                self._put(item)
        except Exception as error:  # raised where the items are taken
            self._failure = error
        finally:
            self._put(None)

    def _put(self, item: T | None) -> None:
        with suppress(RuntimeError):  # the loop was closed: the server stopped while this thread computed
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
