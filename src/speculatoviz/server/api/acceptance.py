"""The route `/api/runs/acceptance`: the acceptance over the runs that the server keeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Query, Request

from speculatoviz.errors import UnknownRunError
from speculatoviz.lab.anatomy import AcceptanceAnatomy, TestedToken, anatomy, tokens_tested
from speculatoviz.lab.store.runs import MOST_LISTED, RunStore
from speculatoviz.lab.store.summary import StoredRun
from speculatoviz.server.api.runs import LONGEST_TEXT, kept_runs
from speculatoviz.server.info import Refusal
from speculatoviz.server.kept_runs import KeptRuns

_MOST_TRACE_BYTES = 32 * 1024 * 1024  # compressed; read for one breakdown


def acceptance_router() -> APIRouter:
    """The route. It comes before those of single runs, whose ids would include its name."""
    router = APIRouter(responses={503: {"model": Refusal}})

    @router.get("/api/runs/acceptance")
    async def acceptance(
        request: Request,
        runs: int = Query(50, ge=1, le=MOST_LISTED),
        containing: str = Query("", max_length=LONGEST_TEXT),
    ) -> AcceptanceAnatomy:
        kept = kept_runs(request)
        if kept.store is None:
            return anatomy([]).model_copy(update={"kept": False})
        page = await kept.read(lambda store: store.page(runs, None, containing))
        return await _anatomy(kept, [run for run in page.runs if run.summary.sweep is None])

    return router


async def _anatomy(kept: KeptRuns, runs: Sequence[StoredRun]) -> AcceptanceAnatomy:
    """The breakdown of as many of these runs as can be read within the limit; other readers come in between."""
    read, left_bytes = list[tuple[str, list[TestedToken]]](), _MOST_TRACE_BYTES
    for run in runs:
        left_bytes -= run.trace_bytes
        if left_bytes < 0:
            break
        with contextlib.suppress(UnknownRunError):  # it was removed since the list was read
            read.append((run.prompt, await kept.read(partial(_tested, run=run.id))))
    return await asyncio.to_thread(anatomy, read, len(runs) - len(read))


def _tested(store: RunStore, run: str) -> list[TestedToken]:
    return tokens_tested(run, (line for piece in store.trace(run) for line in piece.splitlines()))
