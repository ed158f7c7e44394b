"""The queue of runs for the models: first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PlaceListener = Callable[[int], None]  # called with the place in the queue; 1 is next


class RunQueue:
    """Lends the models to one run at a time. For use in one event loop."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Event] = []
        self._held = False

    @property
    def idle(self) -> bool:
        """Whether no run holds the models or waits for them."""
        return not self._held and not self._waiting

    @property
    def running(self) -> int:
        """Runs that hold the models: 0 or 1."""
        return int(self._held)

    @property
    def waiting(self) -> int:
        """Runs that wait."""
        return len(self._waiting)

    async def acquire(self, on_place: PlaceListener) -> None:
        """Wait for the models, then hold them until `release`. on_place: called whenever the place changes.

        A waiter that is cancelled, or whose listener raises, leaves the queue.
        """
        if self.idle:
            self._held = True
            return
        moved = asyncio.Event()
        self._waiting.append(moved)
        try:
            await self._wait(moved, on_place)
            self._held = True
        finally:
            self._waiting.remove(moved)
            self._wake()

    def release(self) -> None:
        """Give the models to the next run in the queue."""
        self._held = False
        self._wake()

    async def _wait(self, moved: asyncio.Event, on_place: PlaceListener) -> None:
        reported = 0
        while self._held or self._waiting[0] is not moved:
            place = self._waiting.index(moved) + 1
            if place != reported:
                reported = place
                on_place(place)
            await moved.wait()
            moved.clear()

    def _wake(self) -> None:
        for moved in self._waiting:
            moved.set()
