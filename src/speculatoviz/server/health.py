"""Whether a server lives and whether it can compute: for service managers, which ask without a key."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from speculatoviz.server.model_host import ModelHost
from speculatoviz.telemetry.parts import Strict

LIVE, READY = "/api/health/live", "/api/health/ready"
USUAL = "/health"  # where vLLM, SGLang and llama-server answer, and where their clients ask
OPEN_PATHS = frozenset({LIVE, READY, USUAL})


class Live(Strict):
    """`GET /api/health/live`: the server answers."""

    status: Literal["live"] = "live"


class Ready(Strict):
    """`GET /api/health/ready` and `GET /health`: with status 503 unless it is `ready`."""

    status: Literal["ready", "loading", "failed", "stopping"]


def health_router() -> APIRouter:
    """The routes. They name no model and no setting."""
    router = APIRouter()

    @router.get(LIVE)
    async def live() -> Live:
        return Live()

    async def ready(request: Request) -> JSONResponse:
        host: ModelHost = request.app.state.host
        found = Ready(status=_status(host))
        return JSONResponse(found.model_dump(), 200 if found.status == "ready" else 503)

    unable: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "It cannot compute."}}
    for path in (READY, USUAL):
        router.add_api_route(path, ready, response_model=Ready, responses=unable, methods=["GET"])

    return router


def _status(host: ModelHost) -> Literal["ready", "loading", "failed", "stopping"]:
    if host.stopping.begun:
        return "stopping"
    if host.failure is not None:
        return "failed"
    return "loading" if host.session is None else "ready"
