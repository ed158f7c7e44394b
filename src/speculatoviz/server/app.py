"""The web server: the page, its WebSocket, a small HTTP API, and the OpenAI-compatible one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse

from speculatoviz.config import Settings
from speculatoviz.server import facts
from speculatoviz.server.access import Access, AccessRules
from speculatoviz.server.address import keys_of
from speculatoviz.server.api.acceptance import acceptance_router
from speculatoviz.server.api.engine_statistics import statistics_router
from speculatoviz.server.api.errors import add_handlers
from speculatoviz.server.api.routes import api_router
from speculatoviz.server.api.runs import runs_router
from speculatoviz.server.body import LimitedBody
from speculatoviz.server.classroom.connection import Classroom, Member
from speculatoviz.server.drafting import drafting_router
from speculatoviz.server.health import OPEN_PATHS, health_router
from speculatoviz.server.info import Health, SettingsInfo
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.model_host import ModelHost, SessionLoader
from speculatoviz.server.page_files import PLACES, page_files
from speculatoviz.server.quotas import Quota, Quotas, WithinQuotas, holder_of
from speculatoviz.server.refused import ListsRefused
from speculatoviz.server.request_log import RequestLog, RunLog
from speculatoviz.server.socket import TokensConnection
from speculatoviz.server.stopping import Stopping
from speculatoviz.server.tracing import InCallersTrace, Tracing
from speculatoviz.server.traffic import Traffic
from speculatoviz.server.traffic_feed import TrafficFeed

PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings, load: SessionLoader, limits: RunLimits | None = None) -> FastAPI:
    """The application. load: called in the models' thread once the server listens.

    Raises StoreError if the settings name a store of runs that cannot be opened, and KeysError.
    """
    limits = limits or RunLimits()
    stopping = Stopping(settings.stop_s if limits.cancel_s is None else limits.cancel_s)
    tracing = Tracing.of_environment()
    classroom = Classroom(time.monotonic)
    traffic = Traffic(time.time, time.perf_counter)
    kept = KeptRuns(settings, (RunLog(), traffic, *tracing.observers))
    traffic.kept = kept.store is not None
    quotas = Quotas(settings.key_runs, settings.key_requests)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.host = ModelHost(settings, load, limits, time.perf_counter, stopping)
        app.state.runs = kept
        app.state.traffic = traffic
        app.state.feed = feed = TrafficFeed(traffic, kept, time.monotonic)
        try:
            async with kept.running(), feed.running(), app.state.host.running(), classroom.running():
                yield
        finally:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="SpeculatoViz", lifespan=lifespan, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.add_middleware(LimitedBody, limits=limits)
    app.add_middleware(WithinQuotas, quotas=quotas)
    app.add_middleware(Access, rules=_rules(settings))  # outside: it comes first
    app.add_middleware(ListsRefused, refused=traffic.refused)  # what Access refuses too
    app.state.stopping = stopping
    if tracing.on:
        app.add_middleware(InCallersTrace)
    app.add_middleware(RequestLog, clock=time.perf_counter)
    add_handlers(app)
    _add_api(app)
    app.include_router(drafting_router())
    app.include_router(health_router())
    app.include_router(acceptance_router())
    app.include_router(runs_router())
    app.include_router(statistics_router())
    app.include_router(api_router(time.time))
    _add_sockets(app, limits, quotas, classroom)
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
        return facts.settings_info(host.settings, host.session, host.others.targets)


def _add_sockets(app: FastAPI, limits: RunLimits, quotas: Quotas, classroom: Classroom) -> None:
    @app.websocket("/ws/tokens")
    async def tokens(socket: WebSocket) -> None:
        quota = Quota(quotas, holder_of(socket))
        await TokensConnection(socket, app.state.host, app.state.runs, limits, quota, app.state.feed).serve()

    @app.websocket("/ws/classroom")
    async def take_part(socket: WebSocket) -> None:
        quota = Quota(quotas, holder_of(socket))
        await Member(socket, classroom, app.state.host, limits, quota).serve()


def _add_page(app: FastAPI) -> None:
    if (PAGE / "index.html").exists():
        app.mount("/", page_files(PAGE), name="page")
        return

    async def missing() -> PlainTextResponse:
        return PlainTextResponse("The page has not been built. Run `make page` and start again.\n", 503)

    for place in ("", *PLACES, "runs/{run}"):
        app.add_api_route(f"/{place}", missing, include_in_schema=False)
