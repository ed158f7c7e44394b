"""The routes that draft and verify nothing: a few tokens after a prompt, and the road that a run did not take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from speculatoviz.core.types import Draft
from speculatoviz.server import facts
from speculatoviz.server.disconnect import unless_gone
from speculatoviz.server.info import AloneRequest, AloneText, Refusal, TestDraft
from speculatoviz.server.model_host import ModelHost
from speculatoviz.session.alone import prepare_alone, write_alone
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.session.shared import Place
from speculatoviz.telemetry.messages import Start

_REFUSED: dict[int | str, Any] = {status: {"model": Refusal} for status in (400, 429, 503)}
_TEST_PROMPT = "Write a Python function that merges two sorted lists"
_ALLOW_POST = {"Allow": "POST"}


def drafting_router() -> APIRouter:
    """The routes. Their work waits in the queue of runs, and ends when the client disconnects."""
    router = APIRouter()

    @router.post("/api/test-draft", response_model=TestDraft, responses=_REFUSED)
    async def test_draft(request: Request, prompt: str = _TEST_PROMPT, k: int = Query(4, ge=1, le=16)) -> Any:
        return await unless_gone(request, _drafted(request.app.state.host, prompt, k))

    @router.get("/api/test-draft", include_in_schema=False)
    async def test_draft_by_get() -> JSONResponse:
        words = ("This computes, so it is not asked for with GET.", "Use POST: `curl -X POST` with the same address.")
        return JSONResponse(dict(zip(("code", "message", "hint"), ("method", *words), strict=True)), 405, _ALLOW_POST)

    @router.post("/api/draft-alone", response_model=AloneText, responses=_REFUSED)
    async def draft_alone(request: Request, asked: AloneRequest) -> Any:
        return await unless_gone(request, _written(request.app.state.host, asked))

    return router


async def _drafted(host: ModelHost, prompt: str, k: int) -> TestDraft:
    host.check_busy()
    session = host.ready()
    prepared = await host.prepare(lambda: session.prepare(Start(prompt=prompt)))
    draft = await _draft(host, prepared, lambda cancelled, place: session.draft_only(prepared, k, cancelled, place))
    return facts.draft_info(session, prompt, draft)


async def _written(host: ModelHost, asked: AloneRequest) -> AloneText:
    host.check_busy()
    session, output = host.ready(), asked.output_ids
    prepared = await host.prepare(lambda: prepare_alone(session, asked.run, asked.prompt_digest, output))
    draft = await _draft(
        host, prepared, lambda cancelled, place: write_alone(prepared, output, asked.most, cancelled, place)
    )
    return facts.alone_text(session, prepared, draft)


async def _draft(host: ModelHost, prepared: PreparedRun, make: Callable[[Callable[[], bool], Place], Draft]) -> Draft:
    """A draft, made with the models once they are free. make: given whether it is cancelled, and the place."""
    cancelled = threading.Event()

    def items(place: Place) -> Iterator[Draft]:
        yield make(cancelled.is_set, place)

    run = host.stream(items, lambda _place: None, cancelled, prepared.request.prompt)
    [draft] = [draft async for draft in run]
    return draft
