"""The web server: the page, its WebSocket, a small HTTP API, and the OpenAI-compatible one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse

from speculatoviz.config import Settings
from speculatoviz.core.types import Draft
from speculatoviz.server import facts
from speculatoviz.server.access import Access, AccessRules
from speculatoviz.server.address import keys_of
from speculatoviz.server.api.errors import add_handlers
from speculatoviz.server.api.routes import api_router
from speculatoviz.server.api.runs import runs_router
from speculatoviz.server.body import LimitedBody
from speculatoviz.server.disconnect import unless_gone
from speculatoviz.server.health import OPEN_PATHS, health_router
from speculatoviz.server.info import Health, Refusal, SettingsInfo, TestDraft
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.model_host import ModelHost, SessionLoader
from speculatoviz.server.page_files import PLACES, page_files
from speculatoviz.server.quotas import Quota, Quotas, WithinQuotas, holder_of
from speculatoviz.server.request_log import RequestLog, RunLog
from speculatoviz.server.socket import TokensConnection
from speculatoviz.server.stopping import Stopping
from speculatoviz.server.tracing import InCallersTrace, Tracing
from speculatoviz.session.shared import Place
from speculatoviz.telemetry.messages import Start

PAGE = Path(__file__).parent / "page"
_REFUSED: dict[str, Any] = {"model": Refusal}
_TEST_PROMPT = "Write a Python function that merges two sorted lists"


def create_app(settings: Settings, load: SessionLoader, limits: RunLimits | None = None) -> FastAPI:
    """The application. load: called in the models' thread once the server listens.

    Raises StoreError if the settings name a store of runs that cannot be opened, and KeysError.
    """
    limits = limits or RunLimits()
    stopping = Stopping(settings.stop_s if limits.cancel_s is None else limits.cancel_s)
    tracing = Tracing.of_environment()
    kept = KeptRuns(settings, (RunLog(), *tracing.observers))
    quotas = Quotas(settings.key_runs, settings.key_requests)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.host = ModelHost(settings, load, limits, time.perf_counter, stopping)
        app.state.runs = kept
        try:
            async with kept.running(), app.state.host.running():
                yield
        finally:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="SpeculatoViz", lifespan=lifespan, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.add_middleware(LimitedBody, limits=limits)
    app.add_middleware(WithinQuotas, quotas=quotas)
    app.add_middleware(Access, rules=_rules(settings))  # outside: it comes first
    app.state.stopping = stopping
    if tracing.on:
        app.add_middleware(InCallersTrace)
    app.add_middleware(RequestLog, clock=time.perf_counter)
    add_handlers(app)
    _add_api(app)
    app.include_router(health_router())
    app.include_router(runs_router())
    app.include_router(api_router(time.time))
    _add_socket(app, limits, quotas)
    _add_page(app)
    return app


def _rules(settings: Settings) -> AccessRules:
    return AccessRules(settings.host, keys_of(settings), open_paths=OPEN_PATHS)


def _add_api(app: FastAPI) -> None:
    @app.get("/api/health")
    async def health() -> Health:
        return facts.health(app.state.host)

    @app.get("/api/settings")
    async def settings() -> SettingsInfo:
        host: ModelHost = app.state.host
        return facts.settings_info(host.settings, host.session)

    @app.post("/api/test-draft", response_model=TestDraft, responses={400: _REFUSED, 429: _REFUSED, 503: _REFUSED})
    async def test_draft(request: Request, prompt: str = _TEST_PROMPT, k: int = Query(4, ge=1, le=16)) -> Any:
        return await unless_gone(request, _drafted(app.state.host, prompt, k))

    @app.get("/api/test-draft", include_in_schema=False)
    async def test_draft_by_get() -> JSONResponse:
        words = ("This computes, so it is not asked for with GET.", "Use POST: `curl -X POST` with the same address.")
        return JSONResponse(dict(zip(("code", "message", "hint"), ("method", *words), strict=True)), 405, _ALLOW_POST)


_ALLOW_POST = {"Allow": "POST"}


async def _drafted(host: ModelHost, prompt: str, k: int) -> TestDraft:
    host.check_busy()
    session, cancelled = host.ready(), threading.Event()
    prepared = await host.prepare(lambda: session.prepare(Start(prompt=prompt)))

    def items(place: Place) -> Iterator[Draft]:
        yield session.draft_only(prepared, k, cancelled.is_set, place)

    run = host.stream(items, lambda _place: None, cancelled, prepared.request.prompt)
    [draft] = [draft async for draft in run]
    return facts.draft_info(session, prompt, draft)


def _add_socket(app: FastAPI, limits: RunLimits, quotas: Quotas) -> None:
    @app.websocket("/ws/tokens")
    async def tokens(socket: WebSocket) -> None:
        quota = Quota(quotas, holder_of(socket))
        await TokensConnection(socket, app.state.host, app.state.runs, limits, quota).serve()


def _add_page(app: FastAPI) -> None:
    if (PAGE / "index.html").exists():
        app.mount("/", page_files(PAGE), name="page")
        return

    async def missing() -> PlainTextResponse:
        return PlainTextResponse("The page has not been built. Run `make page` and start again.\n", 503)

    for place in ("", *PLACES, "runs/{run}"):
        app.add_api_route(f"/{place}", missing, include_in_schema=False)
