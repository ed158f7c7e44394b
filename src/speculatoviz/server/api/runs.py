"""The routes below `/api/runs`: list, read, ask about, name and remove the runs that the server keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from speculatoviz.lab.store.runs import MOST_LISTED
from speculatoviz.lab.store.summary import StoredRun, StoredRunDetail
from speculatoviz.server.api.what_if import Records, WhatIfAnswer, WhatIfQuestion, answered
from speculatoviz.server.disconnect import unless_gone
from speculatoviz.server.info import Refusal
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.telemetry.parts import Strict

LONGEST_TEXT = 1000
_JSON_LINES = "application/jsonl"


class RunPage(Strict):
    """`GET /api/runs`: runs that are kept, the newest first.

    `kept`: false if the server keeps no runs. `after`: the id to continue with; null at the end.
    """

    kept: bool
    runs: list[StoredRun]
    after: str | None


class RunChange(Strict):
    """`PATCH /api/runs/ID`. `name`: up to 200 characters; null takes the name away."""

    name: str | None = Field(max_length=LONGEST_TEXT)


def runs_router() -> APIRouter:
    """The routes."""
    router = APIRouter(responses={status: {"model": Refusal} for status in (400, 404, 503)})
    records, one_at_a_time = Records(), asyncio.Lock()

    @router.get("/api/runs")
    async def runs(
        request: Request,
        limit: int = Query(50, ge=1, le=MOST_LISTED),
        after: str | None = Query(None, max_length=LONGEST_TEXT),
        containing: str = Query("", max_length=LONGEST_TEXT),
    ) -> RunPage:
        kept = kept_runs(request)
        if kept.store is None:
            return RunPage(kept=False, runs=[], after=None)
        page = await kept.read(lambda store: store.page(limit, after, containing))
        return RunPage(kept=True, runs=page.runs, after=page.after)

    @router.get("/api/runs/{run}")
    async def run(request: Request, run: str) -> StoredRunDetail:
        return await kept_runs(request).read(lambda store: store.get(run))

    @router.get("/api/runs/{run}/trace", response_class=StreamingResponse)
    async def trace(request: Request, run: str) -> StreamingResponse:
        kept = kept_runs(request)
        pieces = await kept.read(lambda store: store.trace(run))
        first = await kept.read(lambda _: next(pieces))  # an unknown run is refused before the answer begins
        headers = {"Content-Disposition": f'attachment; filename="{_file_name(run)}"'}
        return StreamingResponse(_all(kept, first, pieces), media_type=_JSON_LINES, headers=headers)

    @router.post("/api/runs/{run}/whatif", response_model=WhatIfAnswer)
    async def whatif(request: Request, run: str, question: WhatIfQuestion) -> Any:
        async def answer() -> WhatIfAnswer:
            async with one_at_a_time:  # it computes, and leaves a thread to those who read
                return await kept_runs(request).read(lambda store: answered(records.of(store, run), question))

        return await unless_gone(request, answer())

    @router.patch("/api/runs/{run}")
    async def change(request: Request, run: str, change: RunChange) -> StoredRunDetail:
        return await kept_runs(request).read(lambda store: store.rename(run, change.name))

    @router.delete("/api/runs/{run}", status_code=204)
    async def remove(request: Request, run: str) -> Response:
        await kept_runs(request).read(lambda store: store.remove(run))
        return Response(status_code=204)

    return router


def kept_runs(request: Request) -> KeptRuns:
    """The runs that the server of this request keeps."""
    kept: KeptRuns = request.app.state.runs
    return kept


def _file_name(run: str) -> str:
    """A name for the file of a trace; only characters that every header and system takes."""
    return f"run-{''.join(c for c in run if c.isascii() and (c.isalnum() or c == '-'))}.jsonl"


async def _all(kept: KeptRuns, first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    while (piece := await kept.read(lambda _: next(pieces, None))) is not None:
        yield piece
