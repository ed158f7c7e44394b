"""Whether a server lives and whether it can compute: for service managers, which ask without a key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from speculatoviz.server.model_host import ModelHost
from speculatoviz.telemetry.parts import Strict

LIVE, READY = "/api/health/live", "/api/health/ready"
OPEN_PATHS = frozenset({LIVE, READY})


class Live(Strict):
    """`GET /api/health/live`: the server answers."""

    status: Literal["live"] = "live"


class Ready(Strict):
    """`GET /api/health/ready`: with status 503 unless it is `ready`."""

    status: Literal["ready", "loading", "failed", "stopping"]


def health_router() -> APIRouter:
    """The routes. They name no model and no setting."""
    router = APIRouter()

    @router.get(LIVE)
    async def live() -> Live:
        return Live()

    @router.get(READY, response_model=Ready, responses={503: {"model": Ready, "description": "It cannot compute."}})
    async def ready(request: Request) -> JSONResponse:
        host: ModelHost = request.app.state.host
        found = Ready(status=_status(host))
        return JSONResponse(found.model_dump(), 200 if found.status == "ready" else 503)

    return router


def _status(host: ModelHost) -> Literal["ready", "loading", "failed", "stopping"]:
    if host.stopping.begun:
        return "stopping"
    if host.failure is not None:
        return "failed"
    return "loading" if host.session is None else "ready"
