"""How a server that stops ends its runs: those that end soon go on, the others are cancelled, all in words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from speculatoviz.errors import SpeculatoVizError
from speculatoviz.telemetry.events import Done

_PAUSE_S = 0.02
_PASS_S = 2.0  # for the pass in progress of a run that is cancelled
_AGAIN = "Try again in a moment, when it runs again."


class StoppingError(SpeculatoVizError):
    """The server stops, and computes no more."""

    code = "stopping"


class Stopping:
    """Knows the runs that wait and compute. For use in one event loop.

    begun: whether the server stops. patience_s: seconds that the runs have then until they are cancelled.
    """

    def __init__(self, patience_s: float) -> None:
        self.begun = False
        self._patience_s = patience_s
        self._cancelling = False
        self._waiting: set[anyio.CancelScope] = set()
        self._computing: set[threading.Event] = set()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for the models. Raises StoppingError once the server stops."""
        if self.begun:
            raise StoppingError("The server is stopping.", _AGAIN)
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            raise StoppingError("The server stopped while this run waited.", _AGAIN)

    @contextmanager
    def computing(self, cancelled: threading.Event) -> Iterator[None]:
        """Around a run on the models. cancelled: set to cancel it."""
        self._computing.add(cancelled)
        try:
            yield
        finally:
            self._computing.discard(cancelled)

    def check(self, item: object) -> None:
        """Raises StoppingError in place of the end of a run that the stopping server has cancelled."""
        if self._cancelling and isinstance(item, Done) and item.finish_reason == "cancelled":
            raise StoppingError("The server stopped before this run had ended.", _AGAIN)

    async def end_runs(self, at_once: Callable[[], bool]) -> None:
        """Refuse new runs, and wait for those that compute; cancel them after `patience_s`, or `at_once`."""
        self.begun = True
        for scope in tuple(self._waiting):
            scope.cancel()
        await self._ended(self._patience_s, at_once)
        self._cancelling = True
        for cancelled in tuple(self._computing):
            cancelled.set()
        await self._ended(_PASS_S, at_once)

    async def _ended(self, within_s: float, at_once: Callable[[], bool]) -> None:
        with anyio.move_on_after(within_s):
            while self._computing and not at_once():
                await asyncio.sleep(_PAUSE_S)
