"""First come, first served: one run holds the models, the others know their place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Tell = Callable[[int], None]


class Line:
    """A queue of runs for one event loop."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Event] = []
        self._held = False

    @property
    def idle(self) -> bool:
        return not self._held and not self._waiting

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def join(self, tell: Tell) -> None:
        """Wait for the models, being told the place (1 is next) whenever it changes; then hold them."""
        if self.idle:
            self._held = True
            return
        moved = asyncio.Event()
        self._waiting.append(moved)
        try:
            await self._wait(moved, tell)
            self._held = True
        finally:
            self._waiting.remove(moved)
            self._wake()

    def leave(self) -> None:
        """Give the models to whoever is next."""
        self._held = False
        self._wake()

    async def _wait(self, moved: asyncio.Event, tell: Tell) -> None:
        told = 0
        while self._held or self._waiting[0] is not moved:
            place = self._waiting.index(moved) + 1
            if place != told:
                told = place
                tell(place)
            await moved.wait()
            moved.clear()

    def _wake(self) -> None:
        for moved in self._waiting:
            moved.set()
