"""Records runs into a store, in a thread of its own: no run, no event loop and no timing waits for the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

from speculatoviz.errors import SpeculatoVizError, StoreError, reason_of
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.store.summary import RunFold
from speculatoviz.lab.store.tables import LONGEST_CHUNK_BYTES
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event, Failure, RunWarning, Started

CHUNK_S = 0.5  # events wait this long at most before they are written: with the writing, less than a second is lost
_MOST_WAITING = 50_000  # events that a database may be behind
_CHUNK_BYTES = 4 << 20  # of lines: a chunk ends here, however young it is
_CLOSING_S = 10.0
_HINT = "The run goes on. Make room, or see the server's log."

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Recording:
    """A run that is being recorded. since_s: when the oldest line that is not stored yet came; None without one."""

    fold: RunFold
    chunks: int = 0
    lines: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0
    since_s: float | None = None
    seq: int = 0
    t_ms: float = 0.0


class _Ending(NamedTuple):
    """The end of a run that has sent no `done`: it failed, or nobody takes its events any more."""

    run: str
    error: BaseException | None


class _Overflow(NamedTuple):
    """Events of this run were dropped, because the database is too slow."""

    run: str


_Item = Event | _Ending | _Overflow | None


class Recorder:
    """Takes the events of runs, several at a time, and writes each run into the store as it goes on.

    A run is recorded from its `started` on. Its trace is written in chunks of at most a second. If the store fails, the
    run's recording ends, with a warning in the log; later runs are tried anew. most_runs, most_bytes: limits of the
    store, kept by removing the oldest runs without a name when a run begins; 0 is no limit. clock: seconds. now:
    seconds since 1970.
    """

    def __init__(
        self,
        store: RunStore,
        most_runs: int = 0,
        most_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._limits, self._clock, self._now = store, (most_runs, most_bytes), clock, now
        self._items: SimpleQueue[tuple[float, _Item]] = SimpleQueue()
        self._recordings: dict[str, _Recording] = {}  # of the thread
        self._dropped: set[str] = set()  # runs whose events came too fast for the database
        self._troubles: dict[str, StoreError] = {}
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def add(self, event: Event) -> None:
        """Take an event of a run. Never waits, and never raises."""
        run = event.run
        if run is None or run in self._dropped:
            return
        if self._items.qsize() > _MOST_WAITING:
            self._dropped.add(run)
            self._put(_Overflow(run))
            return
        self._put(event)

    def end(self, run: str, error: BaseException | None = None) -> None:
        """End the recording of a run, if it has not ended. error: why it failed; None if it was given up."""
        self._put(_Ending(run, error))

    @contextmanager
    def ending(self, run: str) -> Iterator[None]:
        """Ends the recording of a run with the block that computes it, whether it is done, fails or is given up."""
        try:
            yield
        except Exception as error:
            self.end(run, error)
            raise
        finally:
            self.end(run)
            self._dropped.discard(run)

    def trouble(self, run: str) -> StoreError | None:
        """Why a run is no longer recorded; once, then None again."""
        return self._troubles.pop(run, None) if self._troubles else None

    def close(self) -> None:
        """Write what was taken, and end the thread. Waits for a database up to 10 s."""
        self._put(None)
        self._thread.join(_CLOSING_S)
        if self._thread.is_alive():
            log.warning("The store %s does not answer: the last events are not stored.", self._store.name)

    def _put(self, item: _Item) -> None:
        self._items.put((self._clock(), item))

    # ---- in the thread ----

    def _work(self) -> None:
        going_on = True
        while going_on:
            for at_s, item in self._waiting():
                if item is None:
                    going_on = False
                else:
                    self._guarded(at_s, item)
            self._write_due()
        for run in list(self._recordings):
            self._write(run)

    def _waiting(self) -> Iterator[tuple[float, _Item]]:
        """Everything that waits now, so that a backlog is written in few chunks. Nothing if a chunk is due first."""
        with suppress(Empty):
            yield self._items.get(timeout=self._rest_s())
            for _ in range(self._items.qsize()):
                yield self._items.get_nowait()

    def _guarded(self, at_s: float, item: Event | _Ending | _Overflow) -> None:
        try:
            self._take(at_s, item)
        except Exception as error:  # a fault of one run must not end the recording of the others
            log.exception("recording failed")
            self._stop(
                item.run or "", StoreError(f"The recording failed ({reason_of(error)}).", "See the server's log.")
            )

    def _rest_s(self) -> float | None:
        """The time until the next chunk is due; None if no line waits."""
        oldest = min((r.since_s for r in self._recordings.values() if r.since_s is not None), default=None)
        return None if oldest is None else max(0.0, oldest + CHUNK_S - self._clock())

    def _write_due(self) -> None:
        now_s = self._clock()
        for run, recording in list(self._recordings.items()):
            old = recording.since_s is not None and now_s - recording.since_s >= CHUNK_S
            if old or recording.waiting_bytes >= _CHUNK_BYTES:
                self._write(run)

    def _take(self, at_s: float, item: Event | _Ending | _Overflow) -> None:
        if isinstance(item, Started):
            self._begin(item)
        recording = self._recordings.get(item.run or "")
        if recording is None:
            return
        if isinstance(item, _Overflow):
            words = f"The store {self._store.name} is too slow: more than {_MOST_WAITING} events wait for it."
            self._write(item.run)
            self._stop(item.run, StoreError(words, "Name a faster one with --store."))
            return
        event = _event_for(item, recording) if isinstance(item, _Ending) else item
        self._append(at_s, recording, event)
        if isinstance(event, Done | Failure):
            self._write(event.run or "")
            self._recordings.pop(event.run or "", None)

    def _begin(self, started: Started) -> None:
        run = started.run
        assert run is not None
        recording = _Recording(RunFold(started))
        try:
            header = trace.header()
            self._store.begin(run, round(1000 * self._now()), started.prompt, header, recording.fold.summary)
            self._recordings[run] = recording
            self._store.prune(*self._limits, sparing=list(self._recordings))
        except StoreError as error:
            self._stop(run, error)

    def _append(self, at_s: float, recording: _Recording, event: Event) -> None:
        line = event.model_dump_json().encode() + b"\n"
        recording.lines.append(line)
        recording.waiting_bytes += len(line)
        recording.fold.add(event)
        recording.seq, recording.t_ms = event.seq, event.t_ms
        if recording.since_s is None:
            recording.since_s = at_s

    def _write(self, run: str) -> None:
        """Write the lines of a run that wait."""
        recording = self._recordings[run]
        for lines in _pieces(recording.lines):
            try:
                if not self._store.append(run, recording.chunks, lines, recording.fold.summary):
                    del self._recordings[run]  # a user removed it
                    return
            except StoreError as error:
                self._stop(run, error)
                return
            recording.chunks += 1
        recording.lines, recording.waiting_bytes, recording.since_s = [], 0, None

    def _stop(self, run: str, error: StoreError) -> None:
        self._recordings.pop(run, None)
        self._troubles[run] = error
        while len(self._troubles) > 64:  # of runs whose clients have left
            self._troubles.pop(next(iter(self._troubles)), None)
        log.warning("Run %s is not recorded from here on: %s", run, error)


def warning_of(error: StoreError, event: Event) -> RunWarning:
    """The warning to send after an event of a run that is no longer recorded."""
    round_number = getattr(event, "round", None) or 0
    message = f"This run is not recorded from here on. {error.message}"
    return RunWarning(run=event.run, seq=event.seq, t_ms=event.t_ms, round=round_number, message=message, hint=_HINT)


def _event_for(ending: _Ending, recording: _Recording) -> Event:
    """The event that a trace ends with if the run sent none."""
    match ending.error:
        case SpeculatoVizError() as error:
            code, message, hint = error.code, error.message, error.hint
        case None:
            code, message, hint = "cancelled", "The run was given up.", ""
        case error:
            code, message, hint = "error", f"The run failed ({reason_of(error)}).", ""
    seq, t_ms = recording.seq + 1, recording.t_ms
    return Failure(run=ending.run, seq=seq, t_ms=t_ms, code=code, message=message, hint=hint)


def _pieces(lines: list[bytes]) -> Iterator[bytes]:
    """The lines in pieces of whole lines that a database can hold, usually one."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > LONGEST_CHUNK_BYTES // 2:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)
