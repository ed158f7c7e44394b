"""The one thread that computes: what several sessions ask for at the same time shares one forward pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from speculatoviz.core.types import Floats
from speculatoviz.models.base import PREFILL_TOKENS
from speculatoviz.models.window import Window, WindowFeed, feed_together

T = TypeVar("T")

_LINGER_SHARE = 0.05  # of a pass: how long it may be held up for sessions that were in the last one


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[T]):
    """What a window is to be fed, and what is made of the rows, in the computing thread."""

    wish: WindowFeed
    finish: Callable[[Floats], T]

    @property
    def window(self) -> Window:
        return self.wish.window

    @property
    def size(self) -> int:
        """Tokens of the pass that it takes."""
        return len(self.wish.tokens)


class Passes:
    """Puts jobs together to passes, first come, first served. clock: seconds.

    A pass takes one job of each window, up to the tokens that a pass may have. While one is computed the next
    gathers; a session that was part of the last pass is waited for briefly, or lockstep would fall apart into passes
    of one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, "verifier")
        self._waiting: list[tuple[Job[object], asyncio.Future[object]]] = []
        self._arrived = asyncio.Event()
        self._last: set[int] = set()
        self._linger_s = 0.0
        self.passes = self.jobs = self.rows = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._executor.shutdown()

    async def run(self, job: Job[T]) -> T:
        """What the job makes of its rows. Raises what the pass raises.

        Cancelled, it still ends only with the pass that the job is part of, if there is one: nothing is at work on a
        window behind the back of those who use it next.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting = (job, future)
        self._waiting.append(waiting)  # type: ignore[arg-type]  # each future gets its own job's result
        self._arrived.set()
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if waiting in self._waiting:
                future.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at, by nobody
            raise

    async def compute(self, work: Callable[[], T]) -> T:
        """Run something else in the computing thread, between two passes. Once begun with, it is seen to its end."""
        done = asyncio.get_running_loop().run_in_executor(self._executor, work)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([done])
        return done.result()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            await self._linger()
            batch = self._take()
            if not batch:
                self._arrived.clear()
                continue
            begun = self._clock()
            outcomes = await self.compute(lambda batch=batch: self._pass([job for job, _ in batch]))  # type: ignore[misc]
            self._linger_s = _LINGER_SHARE * (self._clock() - begun)
            self._last = {id(job.window) for job, _ in batch if job.wish.rows == "all"}
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    async def _linger(self) -> None:
        """Wait a moment for those of the last pass that have not come again."""
        end = self._clock() + self._linger_s
        while (left := end - self._clock()) > 0 and not self._last <= {id(job.window) for job, _ in self._waiting}:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)
        self._arrived.set()

    def _take(self) -> list[tuple[Job[object], asyncio.Future[object]]]:
        """The next pass, in order of arrival; jobs nobody waits for any more are dropped."""
        self._waiting = [(job, future) for job, future in self._waiting if not future.cancelled()]
        batch, total, windows = list[tuple[Job[object], asyncio.Future[object]]](), 0, set[int]()
        for job, future in self._waiting:
            if id(job.window) not in windows and (not batch or total + job.size <= PREFILL_TOKENS):
                batch.append((job, future))
                windows.add(id(job.window))
                total += job.size
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        return batch

    def _pass(self, batch: Sequence[Job[object]]) -> list[object]:
        """One pass in the computing thread; each job's result, or what it raised."""
        try:
            logits = feed_together([job.wish for job in batch])
        except Exception as error:
            # One bad job must not take the others with it.
            return [error] if len(batch) == 1 else [self._pass([job])[0] for job in batch]
        self.passes, self.jobs = self.passes + 1, self.jobs + len(batch)
        self.rows += sum(job.size for job in batch)
        return [_finished(job, rows) for job, rows in zip(batch, logits, strict=True)]


def _finished(job: Job[object], rows: Floats) -> object:
    try:
        return job.finish(rows)
    except Exception as error:
        return error
