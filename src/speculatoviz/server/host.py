"""What the server holds: the session once it is loaded, the one thread that may touch it, and the line for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TypeVar

from speculatoviz.config import Settings
from speculatoviz.errors import CancelledError, ModelError, SpeculatoVizError
from speculatoviz.server.bridge import Stream
from speculatoviz.server.info import Health
from speculatoviz.server.run_queue import Line, Tell
from speculatoviz.session.session import Session
from speculatoviz.session.targets import Report
from speculatoviz.telemetry.mapping import exactness_info, model_info

T = TypeVar("T")
Loader = Callable[[Report], Session]

_IDLE_S = 3.0  # without a run, before measuring what is not known yet

log = logging.getLogger(__name__)


class Host:
    """Loads a session in the background and lends it to one run at a time."""

    def __init__(self, settings: Settings, load: Loader) -> None:
        self.settings, self._load = settings, load
        self.session: Session | None = None
        self.failure: SpeculatoVizError | None = None
        self.line = Line()
        self._stage = "starting"
        self._progress: float | None = None
        self._executor = ThreadPoolExecutor(1, "models")
        self._activity = asyncio.Event()
        self._stopping = threading.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load, serve, measure while idle, and give the models back at the end."""
        task = asyncio.create_task(self._live())
        try:
            yield
        finally:
            self._stopping.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self.session is not None:
                await self._compute(self.session.close)
            self._executor.shutdown()

    def ready(self) -> Session:
        """The session; raises ModelError while there is none."""
        if self.failure is not None:
            raise self.failure
        if self.session is None:
            raise ModelError(f"The models are not loaded yet ({self._stage}).", "Try again in a moment.")
        return self.session

    async def stream(
        self, items: Callable[[], Iterator[T]], tell: Tell, cancelled: threading.Event
    ) -> AsyncGenerator[T, None]:
        """Wait for a turn, then run `items` in the models' thread.

        The turn ends when the computing does, however slowly the items are taken; `cancelled` is set when nobody
        takes them any more.
        """
        self._activity.set()
        await self.line.join(tell)
        work = Stream(self._executor, items)
        work.finished.add_done_callback(lambda _: self.line.leave())
        try:
            async for item in work:
                yield item
        finally:
            cancelled.set()

    def health(self) -> Health:
        session = self.session
        calibration = session.calibration if session else None
        pair = self.settings.resolved()
        failed = self.failure
        return Health(
            status="failed" if failed else "ready" if session else "loading",
            stage="ready" if session else self._stage,
            progress=1.0 if session else self._progress,
            message=failed.message if failed else None,
            hint=failed.hint if failed else None,
            version=version("speculatoviz"),
            target_model=model_info(session.target) if session else None,
            draft_model=model_info(session.draft_model) if session and session.draft_model else None,
            target_loaded=session is not None,
            draft_loaded=session is not None and session.draft_model is not None,
            drafter=session.drafter if session else pair.drafter,
            default_k=session.default_k(session.drafter) if session else None,
            baseline=calibration.baseline_info() if calibration else None,
            noise_floor=session.noise_info() if session else None,
            exactness=exactness_info(session.exactness) if session else None,
            remote=session.remote_info(session.usual) if session else None,
            runs_waiting=self.line.waiting,
        )

    async def _live(self) -> None:
        try:
            self.session = await self._compute(lambda: self._load(self._report))
        except SpeculatoVizError as error:
            self.failure = error
        except Exception as error:
            log.exception("loading failed")
            self.failure = ModelError(f"The models could not be loaded ({error}).", "See the server's log.")
        else:
            await self._measure_while_idle(self.session)

    async def _measure_while_idle(self, session: Session) -> None:
        """Measure pass times, one batch size at a time, whenever nobody runs anything."""
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._activity.wait()
                self._activity.clear()
            except TimeoutError:
                if self.line.idle and not await self._fill_one(session):
                    return

    async def _fill_one(self, session: Session) -> bool:
        await self.line.join(lambda _place: None)
        try:
            return await self._compute(session.calibration.fill_one)
        except Exception:
            log.exception("measuring pass times failed; they stay as they are")
            return False
        finally:
            self.line.leave()

    async def _compute(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _report(self, stage: str, progress: float | None) -> None:
        if self._stopping.is_set():
            raise CancelledError
        self._stage, self._progress = stage, progress
