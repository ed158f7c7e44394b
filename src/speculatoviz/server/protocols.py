"""uvicorn's protocols with limits that it has no setting for.

uvicorn waits without end for the head of a request, for a client that does not read, and for the end of a connection
that it closes; and its limit on connections does not count WebSockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from speculatoviz.server.access import SECURITY_HEADERS
from speculatoviz.server.certificate import Certificate
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.stopping import Stopping

_BACKLOG = 64  # connections accepted before the limit on them is looked at again


class LimitedConfig(uvicorn.Config):
    """Settings of uvicorn for our servers, with limits for its protocols."""

    def __init__(self, application: FastAPI, limits: ConnectionLimits, certificate: Certificate | None = None) -> None:
        self.limits = limits
        self.stopping: Stopping | None = getattr(application.state, "stopping", None)
        super().__init__(
            application,
            http=LimitedHttp,
            ws=LimitedWebSocket,
            ws_max_size=limits.message_bytes,
            log_config=None,
            log_level="warning",
            access_log=False,
            backlog=_BACKLOG,
            headers=list(SECURITY_HEADERS.items()),
            server_header=False,
            timeout_graceful_shutdown=limits.stop_s,
            ssl_certfile=None if certificate is None else certificate.chain,
            ssl_keyfile=None if certificate is None else certificate.key,
        )


class LimitedServer(uvicorn.Server):
    """uvicorn's server, which limits the time of a TLS handshake, and ends its runs before its connections."""

    config: LimitedConfig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        loop, config = asyncio.get_running_loop(), self.config
        for listening in sockets or []:
            handshake_s = config.limits.request_s if config.ssl else None
            server = await loop.create_server(
                self._protocol,
                sock=listening,
                ssl=config.ssl,
                ssl_handshake_timeout=handshake_s,
                backlog=config.backlog,
            )
            self.servers.append(server)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.stopping is not None:
            await self.config.stopping.end_runs(lambda: self.force_exit)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return LimitedHttp(self.config, server_state=self.server_state, app_state=self.lifespan.state)


class LimitedHttp(H11Protocol):
    """HTTP/1.1 on one connection. silent_since: loop time since when no request is being answered; else None."""

    def __init__(self, config: LimitedConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.limits = config.limits
        self.silent_since: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > self.limits.sockets and not _make_room(self.connections):
            self._answer_and_close(503, "The server has too many connections. Try again later.\n")
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upgraded = True  # nothing more is expected
        self._watch()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._cut_if_unread(self._unread, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        self._answer_and_close(400, f"{msg}\n")

    def _answer_and_close(self, status: int, text: str) -> None:
        kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        head = h11.Response(status_code=status, headers=[*self.server_state.default_headers, *kind])
        with suppress(h11.LocalProtocolError):  # an answer has begun already
            for event in (head, h11.Data(data=text.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Begin to wait for a request's head, or stop: data that is not a whole head does not prolong the wait."""
        cycle: RequestResponseCycle | None = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering or self._upgraded:
            self.silent_since = None
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            self.silent_since = self.loop.time()
            self._deadline = self.loop.call_later(self.limits.request_s, self._expire)

    def _expire(self) -> None:
        """No head came. The last answer may still be on its way to a slow client."""
        left = self.transport.get_write_buffer_size()
        if left:
            self._unread = self._cut_if_unread(self._unread, left)
        else:
            self.transport.abort()

    def _cut_if_unread(self, timer: asyncio.TimerHandle | None, left: int) -> asyncio.TimerHandle:
        if timer is not None:
            timer.cancel()
        return self.loop.call_later(self.limits.unread_s, self._look_at_unread, left)

    def _look_at_unread(self, before: int) -> None:
        """Cut a client that has read nothing since the last look. before: bytes that were unread then."""
        left = self.transport.get_write_buffer_size()
        if left and left < before:
            self._unread = self._cut_if_unread(None, left)
        else:
            self.transport.abort()


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket. silent_since: loop time of the last message; None once it is being closed."""

    def __init__(self, config: LimitedConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.limits = config.limits
        self.silent_since: float | None = None
        self._deadlines: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.silent_since = self.loop.time()
        self._deadlines.append(self.loop.call_later(self.limits.request_s, self._expect_handshake))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for deadline in self._deadlines:  # until it is over, the loop would keep the connection and its compression
            deadline.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:  # uvicorn would leave it open
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        self._heard()
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # refused with an answer: uvicorn would report an error of the application
        self._heard()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:  # a client that does not read its pongs would let them pile up
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut_soon()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._cut_soon()

    def _heard(self) -> None:
        if self.silent_since is not None:
            self.silent_since = self.loop.time()

    def _expect_handshake(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    def _cut_soon(self) -> None:
        """uvicorn closes the transport, which then waits for the client to read what was sent."""
        self.silent_since = None
        if self in self.connections:  # and not lost already
            self._deadlines.append(self.loop.call_later(self.limits.close_s, self.transport.abort))


def _make_room(connections: Iterable[object]) -> bool:
    """Cut the connection that has been silent longest, one without a WebSocket first. False if there is none."""
    for kind in (LimitedHttp, LimitedWebSocket):
        silent = [c for c in connections if isinstance(c, kind) and c.silent_since is not None]
        if silent:
            longest = min(silent, key=lambda connection: connection.silent_since or 0.0)
            longest.silent_since = None
            longest.transport.abort()
            return True
    return False
