"""The events that wait to be sent on one socket: in order, bounded, and without anyone waiting for a slow client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel

log = logging.getLogger(__name__)


class Outbox:
    """Sends events one after the other. Once the client is gone, they are dropped.

    limit_bytes: of events that wait. The first event beyond it calls `on_overflow`, once; all events that wait and all
    later ones are dropped.
    """

    def __init__(self, socket: WebSocket, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        self._socket, self._limit_bytes, self._on_overflow = socket, limit_bytes, on_overflow
        self._texts: asyncio.Queue[str] = asyncio.Queue()
        self._overflowed = False
        self.unread_bytes = 0
        self._task = asyncio.create_task(self._send())

    def put(self, event: BaseModel) -> None:
        """Send an event after those put before."""
        if self._overflowed:
            return
        text = event.model_dump_json()
        self.unread_bytes += len(text.encode())
        self._texts.put_nowait(text)
        if self.unread_bytes > self._limit_bytes:
            self._overflow()

    async def flushed(self) -> None:
        """Wait until the network has taken everything put so far."""
        await self._texts.join()

    async def close(self) -> None:
        """Stop sending; what waits is dropped."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _overflow(self) -> None:
        self._overflowed = True
        while not self._texts.empty():
            self._texts.get_nowait()
            self._texts.task_done()
        self.unread_bytes = 0
        self._on_overflow()

    async def _send(self) -> None:
        while True:
            text = await self._texts.get()
            try:
                await self._socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("not sent, the client is gone: %s", error)
            finally:
                self.unread_bytes = max(0, self.unread_bytes - len(text.encode()))
                self._texts.task_done()
