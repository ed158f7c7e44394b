"""One client of `/ws/tokens`: messages in, events out, one run at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import anyio
from fastapi import WebSocket, WebSocketDisconnect

from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.messages import parse
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.outbox import Outbox
from speculatoviz.server.quotas import Quota
from speculatoviz.server.socket_run import SocketRun, failure
from speculatoviz.server.traffic_feed import TrafficFeed
from speculatoviz.telemetry.messages import Cancel, Follow, Start, Update

_GOING_AWAY, _POLICY = 1001, 1008  # close codes of RFC 6455, section 7.4.1


class TokensConnection:
    """Answers messages until the client leaves, is silent for too long, or leaves too many events unread.

    No message ends the connection. Reading never waits for the models, a tokenizer, a template or the network.
    """

    def __init__(
        self,
        socket: WebSocket,
        host: ModelHost,
        kept: KeptRuns,
        limits: RunLimits,
        quota: Quota,
        feed: TrafficFeed,
    ) -> None:
        self._socket, self._host, self._kept, self._limits, self._quota = socket, host, kept, limits, quota
        self._feed = feed
        self._unfollow: Callable[[], None] | None = None
        self._reading = anyio.CancelScope()
        self._outbox = Outbox(socket, limits.unread_bytes, self._reading.cancel)
        self._run: SocketRun | None = None

    async def serve(self) -> None:
        """Until the connection ends. Its run is cancelled then."""
        reason = (_POLICY, f"more than {self._limits.unread_bytes} bytes of events were not read")
        try:
            await self._socket.accept()
            with self._reading:
                await self._read()
                reason = (_GOING_AWAY, f"no message came within {self._limits.silent_s:g} s")
        except WebSocketDisconnect:
            return
        finally:
            self._follow(None)
            if self._run is not None:
                await self._run.abandon()
            self._host.leave(self)
            await self._outbox.close()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(self._limits.close_s):
            await self._socket.close(*reason)

    async def _read(self) -> None:
        """Answer messages. Returns once the client was silent for too long; raises WebSocketDisconnect."""
        while True:
            with anyio.move_on_after(self._limits.silent_s) as silence:
                self._answer(await self._receive())
                await asyncio.sleep(0)  # messages that are here already must not keep others waiting
            if silence.cancelled_caught and not self._had_run() and self._unfollow is None:
                return

    def _follow(self, asked: Follow | None) -> None:
        """Follow the traffic as it is asked for; None: no longer."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        if asked is not None and asked.on:
            self._unfollow = self._feed.follow(self._outbox.put, prompts=asked.prompts)

    def _had_run(self) -> bool:
        """Whether a run is going on, or ended since the last call."""
        run = self._run
        if run is not None and run.settled:
            self._run = None
        return run is not None

    async def _receive(self) -> str | None:
        """The text of the next frame; None for a binary one."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message.get("text")

    def _answer(self, text: str | None) -> None:
        run = self._run if self._run is not None and self._run.active else None
        try:
            if text is None:
                raise BadRequestError("The frame is binary.", "Send JSON in a text frame.")
            match parse(text):
                case Start() as start:
                    if run is not None:
                        raise BadRequestError("A run is going on here.", "Cancel it first, or wait for it to end.")
                    ended = self._quota.begin()
                    self._run = SocketRun(self._outbox, self._host, self._kept, start, self, self._run)
                    self._run.when_settled(ended)
                case Follow() as follow:
                    self._follow(follow)
                case Update() as update if run is not None:
                    run.update(update)
                case Cancel() if run is not None:
                    run.cancel()
                case _:
                    raise BadRequestError("No run is going on here.", "Start one first.")
        except SpeculatoVizError as error:
            self._outbox.put(failure(error, run.id if run else None))
