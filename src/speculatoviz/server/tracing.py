"""Spans of a server's runs, as children of the span that a client's request names."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from speculatoviz.telemetry.spans import RunSpans, provider_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Tracing:
    """Sends spans as the variables of OpenTelemetry say. observers: of runs; none if nothing is asked for."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider
        spans = [] if provider is None else [RunSpans(provider.get_tracer("speculatoviz"), time.time_ns)]
        self.observers: tuple[RunSpans, ...] = tuple(spans)

    @classmethod
    def of_environment(cls) -> Tracing:
        """As the environment says. Raises BadRequestError if the extra `otel` is needed and missing."""
        return cls(provider_of(os.environ))

    @property
    def on(self) -> bool:
        """Whether spans are sent."""
        return self._provider is not None

    def close(self) -> None:
        """Send what is left. Waits for the endpoint, at most as long as its exporter does."""
        if self._provider is not None:
            self._provider.shutdown()


class InCallersTrace:
    """ASGI middleware that makes the span in the header `traceparent` the current one (W3C Trace Context)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        token = context.attach(TraceContextTextMapPropagator().extract(HTTPConnection(scope).headers))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)
