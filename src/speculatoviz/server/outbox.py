"""What leaves on one socket: in order, and without anyone waiting for a client that reads slowly."""

from __future__ import annotations

import asyncio
import logging

from fastapi import WebSocket, WebSocketDisconnect

from speculatoviz.telemetry.events import Event

log = logging.getLogger(__name__)


class Outbox:
    """Sends events one after the other; once the client is gone, they are dropped."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._task = asyncio.create_task(self._send())

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def flushed(self) -> None:
        """Wait until everything put so far was handed to the network."""
        await self._events.join()

    def close(self) -> None:
        self._task.cancel()

    async def _send(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self._socket.send_text(event.model_dump_json())
            except (WebSocketDisconnect, RuntimeError) as error:
                log.debug("not sent, the client is gone: %s", error)
            finally:
                self._events.task_done()
