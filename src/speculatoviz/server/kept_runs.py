"""What becomes of the events of all runs: recorded beside the models, read beside the event loop, and observed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol, TypeVar

from speculatoviz.config import Settings
from speculatoviz.errors import StoreError
from speculatoviz.lab.store.opening import recorder_of, store_for_recording
from speculatoviz.lab.store.recorder import Recorder, warning_of
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.server.workers import DaemonExecutor
from speculatoviz.telemetry.events import Event, RunWarning

T = TypeVar("T")
_READING_THREADS = 2


class RunObserver(Protocol):
    """Sees the events of all runs. Never waits, and never raises."""

    def add(self, event: Event) -> None:
        """See an event of a run."""

    def ended(self, run: str, error: BaseException | None) -> None:
        """A run is over. error: why it failed; None if it is done or was given up."""


class KeptRuns:
    """The store of a server and what records into it; without a store, runs pass by unrecorded.

    store: None if runs are not kept. observers: see every event too. For use in one event loop. Raises StoreError if
    the settings name a store that cannot be opened.
    """

    def __init__(self, settings: Settings, observers: tuple[RunObserver, ...] = ()) -> None:
        self._observers = observers
        self.store: RunStore | None = store_for_recording(settings)
        self._settings = settings
        self._recorder: Recorder | None = None
        self._reading: DaemonExecutor | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record and answer until the end of the block. What was taken is then written, for up to 10 seconds."""
        if self.store is None:
            yield
            return
        self._recorder = recorder_of(self.store, self._settings)
        self._reading = DaemonExecutor(_READING_THREADS, "store")
        try:
            yield
        finally:
            self._reading.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._recorder.close)
            self.store.close()

    def add(self, event: Event) -> None:
        """Record an event of a run. Never waits."""
        for observer in self._observers:
            observer.add(event)
        if self._recorder is not None:
            self._recorder.add(event)

    @contextlib.contextmanager
    def ending(self, run: str) -> Iterator[None]:
        """Ends the recording of a run with the block that computes it."""
        failure: BaseException | None = None
        try:
            with contextlib.nullcontext() if self._recorder is None else self._recorder.ending(run):
                yield
        except Exception as error:
            failure = error
            raise
        finally:
            for observer in self._observers:
                observer.ended(run, failure)

    def warning(self, event: Event) -> RunWarning | None:
        """What to send after an event of a run if its recording ended early; once."""
        if self._recorder is None or event.run is None:
            return None
        error = self._recorder.trouble(event.run)
        return None if error is None else warning_of(error, event)

    async def read(self, work: Callable[[RunStore], T]) -> T:
        """Run what reads or changes the store, in a thread. Raises StoreError if runs are not kept."""
        if self.store is None or self._reading is None:
            raise StoreError("This server keeps no runs.", "Start it with --store.")
        return await asyncio.get_running_loop().run_in_executor(self._reading, work, self.store)
