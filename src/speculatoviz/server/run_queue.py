"""The queue of runs for the models: first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PlaceListener = Callable[[int], None]  # called with the place in the queue; 1 is next


class RunQueue:
    """Lends the models to at most `most` runs at the same time. For use in one event loop.

    Work that needs the models for itself waits in the same queue, and those behind it wait until it is over.
    """

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self._waiting: list[asyncio.Event] = []
        self._running = 0
        self._alone = False

    @property
    def idle(self) -> bool:
        """Whether no run holds the models or waits for them."""
        return not self._running and not self._waiting

    @property
    def running(self) -> int:
        """Runs that hold the models."""
        return self._running

    @property
    def waiting(self) -> int:
        """Runs that wait."""
        return len(self._waiting)

    async def acquire(self, on_place: PlaceListener, *, alone: bool = False) -> None:
        """Wait for the models, then hold them until `release`. on_place: called whenever the place changes.

        alone: no other run may hold them meanwhile. A waiter that is cancelled, or whose listener raises, leaves the
        queue.
        """
        if not self._waiting and self._free(alone):
            self._hold(alone)
            return
        moved = asyncio.Event()
        self._waiting.append(moved)
        try:
            await self._wait(moved, on_place, alone)
            self._hold(alone)
        finally:
            self._waiting.remove(moved)
            self._wake()

    def release(self) -> None:
        """Give the models to the next run in the queue."""
        self._running -= 1
        self._alone = False
        self._wake()

    def _free(self, alone: bool) -> bool:
        return not self._running if alone else not self._alone and self._running < self.most

    def _hold(self, alone: bool) -> None:
        self._running += 1
        self._alone = alone

    async def _wait(self, moved: asyncio.Event, on_place: PlaceListener, alone: bool) -> None:
        reported = 0
        while self._waiting[0] is not moved or not self._free(alone):
            place = self._waiting.index(moved) + 1
            if place != reported:
                reported = place
                on_place(place)
            await moved.wait()
            moved.clear()

    def _wake(self) -> None:
        for moved in self._waiting:
            moved.set()
