"""One line in the log for each request and each run, with the run's id. No prompt, no text and no address is in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speculatoviz.server.quotas import holder_of
from speculatoviz.telemetry.events import Done, Event, Started

log = logging.getLogger(__name__)


class RequestLog:
    """ASGI middleware that logs each request once it is answered, by its route. clock: seconds."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float]) -> None:
        self._app, self._clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        statuses, begun_s = [], self._clock()

        async def watched(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                statuses.append(message["status"])
            elif message["type"] == "websocket.accept":
                statuses.append(101)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            found = {
                "method": scope.get("method", "GET"),
                "route": _route(scope),
                "status": statuses[0] if statuses else None,
                "key": holder_of(HTTPConnection(scope)),
                "ms": round(1000 * (self._clock() - begun_s), 1),
            }
            log.info("request", extra={name: value for name, value in found.items() if value is not None})


def _route(scope: Scope) -> str:
    """The pattern of the route, such as /api/runs/{run}: an address can contain anything."""
    pattern = getattr(scope.get("route"), "path", None)
    return str(pattern) if pattern else "page" if "endpoint" in scope else "none"


class RunLog:
    """Logs the beginning and the end of each run."""

    def add(self, event: Event) -> None:
        """Log an event, if it is one of these."""
        match event:
            case Started():
                self._log("run started", event, prompt_tokens=event.prompt_tokens, drafter=event.drafter)
            case Done():
                self._log(
                    "run ended",
                    event,
                    finish_reason=event.finish_reason,
                    tokens=event.total_tokens,
                    rounds=event.total_rounds,
                    drafted=event.total_drafted,
                    accepted=event.total_accepted,
                    ms=round(event.t_ms, 1),
                )

    def ended(self, run: str, error: BaseException | None) -> None:
        """Log that a run failed. Why is in the log already, if that was not foreseen."""
        if error is not None:
            log.info("run failed", extra={"run": run, "code": getattr(error, "code", type(error).__name__)})

    def _log(self, message: str, event: Event, **fields: Any) -> None:
        log.info(message, extra={"run": event.run, **fields})
