"""Limits of a request's body: its size, and the time until all of it has arrived."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speculatoviz.server.limits import RunLimits
from speculatoviz.server.refusals import refusal


class LimitedBody:
    """ASGI middleware that reads a whole body before the application runs, and refuses one beyond the limits."""

    def __init__(self, app: ASGIApp, limits: RunLimits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, limits = HTTPConnection(scope), self._limits
        try:
            async with asyncio.timeout(limits.body_s):
                first = await self._read(receive)
        except TimeoutError:
            hint = "Send it faster, or in smaller pieces."
            answer = refusal(request, 408, "body", f"The body did not arrive within {limits.body_s:g} s.", hint)
            await answer(scope, receive, send)
            return
        if first is None:
            words = f"The body has more than {limits.body_bytes} bytes."
            await refusal(request, 413, "body", words, "Send a shorter prompt.")(scope, receive, send)
            return
        await self._app(scope, _after(first, receive), send)

    async def _read(self, receive: Receive) -> Message | None:
        """The body in one message, or the client's disconnection; None if the body is too long."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                return None
            more = message.get("more_body", False)
        return {"type": "http.request", "body": bytes(body), "more_body": False}


def _after(first: Message, receive: Receive) -> Receive:
    """Returns `first` once, then what `receive` returns."""
    waiting = [first]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
