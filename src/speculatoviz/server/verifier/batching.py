"""The computing thread of a verifier: jobs of several sessions share one forward pass."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from speculatoviz.core.types import Floats
from speculatoviz.models.joint_pass import next_jobs
from speculatoviz.models.window import Window, WindowFeed, feed_together
from speculatoviz.server.workers import DaemonExecutor

T = TypeVar("T")

_LINGER_SHARE = 0.05  # of a pass: the longest wait for sessions that were in the last pass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[T]):
    """Tokens to feed to a window, and a function of the resulting logits, float[rows, V], for the computing thread."""

    feed: WindowFeed
    finish: Callable[[Floats], T]

    @property
    def window(self) -> Window:
        """The session's cache."""
        return self.feed.window

    @property
    def size(self) -> int:
        """Tokens that it adds to a pass."""
        return len(self.feed.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A job and where its result goes."""

    job: Job[object]
    future: asyncio.Future[object]

    @property
    def fed(self) -> Sequence[object]:
        return [self.job.window]

    @property
    def size(self) -> int:
        return self.job.size


class PassBatcher:
    """Batches jobs into forward passes (`next_jobs`), first come, first served. clock: seconds.

    Jobs that arrive during a pass wait for the next. Sessions that were in the last pass are waited for briefly;
    otherwise sessions in lockstep would fall apart into passes of one.

    stop_s: seconds to wait for the pass in progress at the end. passes, jobs, rows: how many were computed so far.
    stuck: whether a pass was still being computed at the end.
    """

    def __init__(self, clock: Callable[[], float], stop_s: float = 10.0) -> None:
        self._clock, self._stop_s = clock, stop_s
        self._executor = DaemonExecutor(1, "verifier")
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._last: set[int] = set()
        self._linger_s = 0.0
        self.passes = self.jobs = self.rows = 0
        self.stuck = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute passes. The end waits for the pass in progress, for at most `stop_s`."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            self._executor.shutdown(wait=False)
            try:
                async with asyncio.timeout(self._stop_s):
                    await asyncio.wait([task])
                    await asyncio.shield(asyncio.wrap_future(self._executor.ended))
            except TimeoutError:
                self.stuck = True
                log.warning("a pass was still being computed after %g s; the model is not closed", self._stop_s)

    async def run(self, job: Job[T]) -> T:
        """The job's result. Raises what the pass raises.

        If the caller is cancelled, this returns only after a pass that the job is part of: nothing may feed the
        window while the pass still uses it.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(job, future)  # type: ignore[arg-type]  # each future gets its own job's result
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if waiting in self._waiting:
                future.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # marks it as retrieved
            raise

    async def compute(self, work: Callable[[], T]) -> T:
        """Run something else in the computing thread, between two passes. A call that has begun is waited for."""
        done = asyncio.get_running_loop().run_in_executor(self._executor, work)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([done])
        return done.result()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            await self._linger()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            begun = self._clock()
            outcomes = await self.compute(lambda batch=batch: self._pass(batch))  # type: ignore[misc]
            self._linger_s = _LINGER_SHARE * (self._clock() - begun)
            self._last = {id(waiting.job.window) for waiting in batch if waiting.job.feed.rows == "all"}
            for future, outcome in zip([waiting.future for waiting in batch], outcomes, strict=True):
                if future.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    async def _linger(self) -> None:
        """Wait briefly for the sessions of the last pass whose next job has not arrived."""
        end = self._clock() + self._linger_s
        while (left := end - self._clock()) > 0 and not self._last <= {id(w.job.window) for w in self._waiting}:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)
        self._arrived.set()

    def _next_batch(self) -> list[_Waiting]:
        """The jobs of the next pass. Cancelled jobs are dropped."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.future.cancelled()]
        batch = next_jobs(self._waiting)
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        return batch

    def _pass(self, batch: Sequence[_Waiting]) -> list[object]:
        """One pass in the computing thread; each job's result, or the exception it raised."""
        jobs = [waiting.job for waiting in batch]
        try:
            logits = feed_together([job.feed for job in jobs])
        except Exception as error:
            # A job that makes the pass fail must not fail the others.
            return [error] if len(batch) == 1 else [self._pass([waiting])[0] for waiting in batch]
        self.passes, self.jobs = self.passes + 1, self.jobs + len(jobs)
        self.rows += sum(job.size for job in jobs)
        return [_finished(job, rows) for job, rows in zip(jobs, logits, strict=True)]


def _finished(job: Job[object], rows: Floats) -> object:
    try:
        return job.finish(rows)
    except Exception as error:
        return error
