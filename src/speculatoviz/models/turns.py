"""Several runs on the same models, each in a thread of its own: they take turns, and share forward passes.

One thread at a time has the turn; it alone touches models, contexts and what belongs to them. It keeps the turn until
it needs a pass. Then the next thread goes on; once all of them wait, one pass is computed for as many as it can take,
and they go on in the order in which they came. So no result depends on timing, and no other lock is needed.

A thread that waits for something else, such as the answer of a remote target, gives up its turn meanwhile (`aside`).

A run alone computes its passes itself, as without turns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from speculatoviz.core.rounds import SharedPass
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel, Rows
from speculatoviz.models.joint_pass import SHARED_CHUNK, next_jobs

_STEP_TOKENS = 8  # a larger job is part of a prompt: no other model's jobs wait for it
_PATIENCE = 8  # passes of a cheaper model that a job waits for, so that more jobs share its own pass


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Turn:
    """A thread. wake: a lock that is released when it is its turn. shared: its last pass."""

    wake: threading.Lock = field(default_factory=_held_lock)
    shared: SharedPass | None = None


@dataclass(slots=True, eq=False)
class _Job:
    """The feeds of a thread that waits. done: their rows, or what the pass raised.

    passed: passes since it came. alone: it was part of a pass that failed, and is tried by itself.
    """

    turn: _Turn
    model: LanguageModel
    feeds: Sequence[Feed]
    done: list[Rows] | Exception | None = None
    passed: int = 0
    alone: bool = False

    @property
    def fed(self) -> Sequence[object]:
        return [feed.context for feed in self.feeds]

    @property
    def size(self) -> int:
        return sum(len(feed.tokens) for feed in self.feeds)


class Turns:
    """Gives threads their turns and computes the passes that they wait for. clock: seconds.

    passes: shared ones that were computed so far. jobs: how many jobs were part of them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._own = threading.local()
        self._holder: _Turn | None = None
        self._threads = 0
        self._aside = 0  # threads that have given up their turn for a while
        self._ready = deque[_Turn]()  # threads that can go on
        self._waiting: list[_Job] = []  # in order of arrival; only the thread that has the turn uses it
        self.passes = self.jobs = 0

    @property
    def runs(self) -> int:
        """Threads that have the turn, or wait for it, for a pass or for something else; at least 1."""
        return max(1, self._threads + self._aside)

    @property
    def chunk_tokens(self) -> int:
        """See `Passes`."""
        return PREFILL_TOKENS if self._threads <= 1 else SHARED_CHUNK

    @property
    def shared(self) -> SharedPass | None:
        """See `Passes`."""
        turn = self._current
        return None if turn is None else turn.shared

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn of this thread, and give it up after the block. A turn within a turn is the same one."""
        if self._current is not None:
            yield
            return
        turn = self._own.turn = _Turn()
        self._join(turn)
        try:
            yield
        finally:
            self._own.turn = None
            self._leave()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Give up the turn of this thread, if it has one, for a block that waits and touches no model."""
        turn = self._current
        if turn is None:
            yield
            return
        self._leave(aside=1)
        try:
            yield
        finally:
            self._join(turn, aside=1)

    def forward(self, model: LanguageModel, feeds: Sequence[Feed]) -> list[Rows]:
        """See `LanguageModel.forward`. The rows are valid until this thread's next pass."""
        turn = self._current
        if turn is None:
            with self.turn():
                return self.forward(model, feeds)
        if self._threads <= 1:
            turn.shared = None
            return model.forward(feeds)
        job = _Job(turn, model, feeds)
        self._waiting.append(job)
        self._wait(job)
        if isinstance(job.done, Exception):
            raise job.done
        assert job.done is not None
        return job.done

    @property
    def _current(self) -> _Turn | None:
        found: _Turn | None = getattr(self._own, "turn", None)
        return found

    def _join(self, turn: _Turn, aside: int = 0) -> None:
        with self._lock:
            self._threads += 1
            self._aside -= aside
            if self._holder is None:
                self._holder = turn
                return
            self._ready.append(turn)
        turn.wake.acquire()

    def _leave(self, aside: int = 0) -> None:
        with self._lock:
            self._threads -= 1
            self._aside += aside
            if self._ready:
                self._holder = self._ready.popleft()
            else:  # all others wait for a pass, which the first of them computes
                self._holder = self._waiting[0].turn if self._waiting else None
            following = self._holder
        if following is not None:
            following.wake.release()

    def _wait(self, job: _Job) -> None:
        """Let other threads go on until the job is done. Without any, compute the next pass."""
        while job.done is None:
            with self._lock:
                following = self._ready.popleft() if self._ready else None
                self._holder = following or job.turn
            if following is None:
                self._compute()
            else:
                following.wake.release()
                job.turn.wake.acquire()
        with self._lock:
            if job.turn in self._ready:  # it has computed its own pass, and goes on at once
                self._ready.remove(job.turn)

    def _compute(self) -> None:
        """Compute the next pass. Whoever waited for it can go on.

        The jobs of a pass that fails are tried one by one, each of them after the run before it went on: what made a
        pass fail may be that it was too large.
        """
        batch = self._next_batch()
        begun_s, results = self._clock(), list[list[Rows] | Exception]()
        try:
            results += self._pass(batch)
        except Exception as error:
            if len(batch) > 1:
                for job in batch:
                    job.alone = True
                return
            results = [error]
        shared = SharedPass(self._threads, sum(job.size for job in batch), (self._clock() - begun_s) * 1000)
        self.passes, self.jobs = self.passes + 1, self.jobs + len(batch)
        self._waiting = [job for job in self._waiting if job not in batch]
        for job in self._waiting:
            job.passed += 1
        for job, result in zip(batch, results, strict=True):
            job.done, job.turn.shared = result, shared
        with self._lock:
            self._ready.extend(job.turn for job in batch)

    def _next_batch(self) -> list[_Job]:
        """The jobs of the next pass, all of one model.

        The smallest model comes first: while runs draft, others that wait for the target wait for them, so that one
        pass of the target verifies all drafts. No job waits for more than a few passes, and none for a prompt.
        """
        for job in self._waiting:
            if job.alone:
                return [job]
        oldest = self._waiting[0]
        steps = [job for job in self._waiting if job.size <= _STEP_TOKENS]
        waits = oldest.passed < (_PATIENCE if oldest.size <= _STEP_TOKENS else 1)
        chosen = min(steps, key=lambda job: job.model.description.size_bytes or 0) if steps and waits else oldest
        return next_jobs(job for job in self._waiting if job.model is chosen.model)

    def _pass(self, jobs: Sequence[_Job]) -> list[list[Rows]]:
        """One pass. Returns the rows of each job."""
        rows = jobs[0].model.forward([feed for job in jobs for feed in job.feeds])
        ends = np.cumsum([len(job.feeds) for job in jobs]).tolist()
        return [rows[end - len(job.feeds) : end] for job, end in zip(jobs, ends, strict=True)]
