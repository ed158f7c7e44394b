"""The models of the server: loaded in the background, and lent to the runs in the queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import BusyError, CancelledError, ModelError, SpeculatoVizError, reason_of
from speculatoviz.server.bridge import Stream
from speculatoviz.server.counters import Counters
from speculatoviz.server.latency import Latencies, RunTimes
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.other_sessions import LoadReport, OtherSessions
from speculatoviz.server.run_queue import PlaceListener, RunQueue
from speculatoviz.server.stopping import Stopping
from speculatoviz.server.workers import DaemonExecutor
from speculatoviz.session.other_targets import OtherTarget, load_other, other_targets
from speculatoviz.session.places import nearest
from speculatoviz.session.session import Session
from speculatoviz.session.shared import Place

T = TypeVar("T")
SessionLoader = Callable[[Progress], Session]

_PREPARING_THREADS = 4

log = logging.getLogger(__name__)


class ModelHost:
    """Loads a session and runs work on it.

    session: None until it is loaded. failure: why it could not be loaded. stage, progress: of the loading; progress is
    a share from 0 to 1, or None if unknown. queue: the runs that wait for the models. counters, latencies: over all
    runs. others: the targets that a run can name instead of the server's own. stuck: whether a thread was still at work
    when the server stopped. clock: seconds. stopping: ends the runs of a server that stops.
    """

    def __init__(
        self,
        settings: Settings,
        load: SessionLoader,
        limits: RunLimits,
        clock: Callable[[], float],
        stopping: Stopping,
    ) -> None:
        self.stopping = stopping
        self.settings, self._load, self._limits, self._clock = settings, load, limits, clock
        self.session: Session | None = None
        self.failure: SpeculatoVizError | None = None
        self.stage = "starting"
        self.progress: float | None = None
        self.queue = RunQueue()
        self.counters = Counters()
        self.latencies = Latencies()
        self.others = OtherSessions(
            other_targets(settings), lambda other, report: load_other(other, clock, report), clock
        )
        self.stuck = False
        self._models = DaemonExecutor(1, "models")
        self._runs = self._models  # with several places, a thread for each of them
        self._free: list[Place] = []
        self._preparing = DaemonExecutor(_PREPARING_THREADS, "prepare")
        self._loaded: Session | None = None  # owned by the models' threads
        self._activity = asyncio.Event()
        self._stopping = threading.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the models, measure them while nothing runs, and close them at the end.

        The end takes at most `limits.stop_s`. A thread that is still at work then is abandoned.
        """
        task = asyncio.create_task(self._load_and_measure())
        try:
            yield
        finally:
            self._stopping.set()
            task.cancel()
            await asyncio.wait([task])
            await self._stop()

    def ready(self) -> Session:
        """The session. Raises ModelError, or the error of its loading, if there is none."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)  # a traceback would grow with every raise
        if self.session is None:
            raise ModelError(f"The models are not loaded yet ({self.stage}).", "Try again in a moment.")
        return self.session

    async def prepare(self, work: Callable[[], T]) -> T:
        """Run what tokenizes text, renders a template or asks a remote target, beside the models' thread.

        Cancelled, it ends at once; a call that has begun goes on in its thread, and its result is dropped.
        """
        return await asyncio.get_running_loop().run_in_executor(self._preparing, work)

    def check_busy(self) -> None:
        """Raises BusyError if no further run may wait for the models."""
        if (waiting := self.queue.waiting) >= self._limits.waiting:
            raise BusyError(f"{waiting} runs wait for the models already.", "Try again later.")

    async def stream(
        self,
        items: Callable[[Place], Iterator[T]],
        on_place: PlaceListener,
        cancelled: threading.Event,
        prompt: Sequence[int] = (),
    ) -> AsyncGenerator[T, None]:
        """Wait for the models, then run `items` in a thread of theirs, at the place that holds most of the prompt.

        The place is free again when the computing ends, however slowly the items are taken. cancelled: set when nobody
        takes them any more.
        """
        self._activity.set()
        session, asked_s = self.ready(), self._clock()
        with self.stopping.waiting():
            await self.queue.acquire(on_place)
        times = RunTimes(self.latencies, self._clock() - asked_s)
        place = nearest(self._free, prompt)
        self._free.remove(place)

        def release() -> None:
            self._free.append(place)
            self.queue.release()

        def in_turn() -> Iterator[T]:
            with session.turns.turn():
                yield from items(place)

        try:
            work = Stream(self._runs, in_turn)
        except RuntimeError:  # the server is stopping
            release()
            raise
        work.finished.add_done_callback(lambda _: release())
        try:
            with self.stopping.computing(cancelled):
                async for item in work:
                    times.add(item)
                    self.stopping.check(item)
                    yield item
        finally:
            cancelled.set()

    async def stream_other(
        self,
        target: OtherTarget,
        items: Callable[[Session], Iterator[T]],
        on_place: PlaceListener,
        on_loading: LoadReport,
        cancelled: threading.Event,
    ) -> AsyncGenerator[T, None]:
        """Wait until no run uses the models, load another target beside the server's own, and run `items` with it.

        Runs of the server's own target wait meanwhile. The clients of `others` decide how long it stays loaded.
        on_loading: called on the event loop. cancelled: as in `stream`; it ends the loading, too.
        """
        self._activity.set()
        self.ready()
        with self.stopping.waiting():
            await self.queue.acquire(on_place, alone=True)
        loop = asyncio.get_running_loop()

        def report(stage: str, share: float | None, elapsed_s: float) -> None:
            loop.call_soon_threadsafe(on_loading, stage, share, elapsed_s)

        def in_turn() -> Iterator[T]:
            session = self.others.opened(target, report, lambda: cancelled.is_set() or self._stopping.is_set())
            with session.turns.turn():
                yield from items(session)

        try:
            work = Stream(self._models, in_turn)
        except RuntimeError:  # the server is stopping
            self.queue.release()
            raise
        work.finished.add_done_callback(lambda _: self.queue.release())
        try:
            with self.stopping.computing(cancelled):
                async for item in work:
                    self.stopping.check(item)
                    yield item
        finally:
            cancelled.set()

    def leave(self, client: object) -> None:
        """A client is gone: other targets that it alone used are closed, once nothing computes with them."""
        if self.others.leave(client):
            with contextlib.suppress(RuntimeError):  # the server is stopping, and closes them itself
                self._models.submit(self.others.close_unused)

    async def _load_and_measure(self) -> None:
        try:
            session = await self._compute(self._load_session)
            self._open(session)
        except SpeculatoVizError as error:
            self.failure = error
        except MemoryError:
            self.failure = ModelError(
                "There is not enough memory for the models.",
                "Choose smaller ones, a shorter context (--context-tokens), or end other programs.",
            )
        except Exception as error:
            log.exception("loading failed")
            self.failure = ModelError(f"The models could not be loaded ({reason_of(error)}).", "See the server's log.")
        else:
            await self._measure_while_idle(session)

    def _open(self, session: Session) -> None:
        """Runs can begin."""
        self._free, self.queue.most = list(session.places), len(session.places)
        if len(session.places) > 1:
            self._runs = DaemonExecutor(len(session.places), "run")
        self.session = session

    def _load_session(self) -> Session:
        self._loaded = self._load(self._report)
        return self._loaded

    async def _measure_while_idle(self, session: Session) -> None:
        """Measure pass times, one batch size at a time, while nothing runs."""
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_s):
                    await self._activity.wait()
                self._activity.clear()
            except TimeoutError:
                if self.queue.idle and not await self._measure_next(session):
                    return

    async def _measure_next(self, session: Session) -> bool:
        await self.queue.acquire(lambda _place: None, alone=True)
        try:
            return await self._compute(lambda: session.calibration.measure_next(self._wanted))
        except CancelledError:
            return True
        except Exception:
            log.exception("measuring pass times failed; they stay as they are")
            return False
        finally:
            self.queue.release()

    def _wanted(self) -> bool:
        """Whether a measurement has to make room for a run or for the end. Called in the models' thread."""
        return self.queue.waiting > 0 or self._stopping.is_set()

    async def _compute(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._models, work)

    async def _stop(self) -> None:
        """Close the session, once no thread uses it. Chat templates that render are ended."""
        self._preparing.shutdown(wait=False, cancel_futures=True)
        if self._runs is not self._models:
            self._runs.shutdown(wait=False)
        try:
            async with asyncio.timeout(self._limits.stop_s):
                if self._loaded is not None:
                    await asyncio.to_thread(self._loaded.end_renderings)
                await asyncio.shield(asyncio.wrap_future(self._preparing.ended))
                if self._runs is not self._models:
                    await asyncio.shield(asyncio.wrap_future(self._runs.ended))
                await self._compute(self._close_session)
        except TimeoutError:
            self.stuck = True
            log.warning("the models were still at work after %g s; they are not closed", self._limits.stop_s)
        except Exception:
            log.exception("closing the models failed")
        self._models.shutdown(wait=False)

    def _close_session(self) -> None:
        self.others.close()
        if self._loaded is not None:
            self._loaded.close()

    def _report(self, stage: str, progress: float | None) -> None:
        if self._stopping.is_set():
            raise CancelledError
        self.stage, self.progress = stage, progress
