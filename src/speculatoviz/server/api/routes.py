"""The routes below `/v1`, and `/metrics`. Requests wait for the models in the queue of all runs."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from speculatoviz.errors import SpeculatoVizError
from speculatoviz.server.api.answers import ChatCompletion, Completion, ErrorAnswer, ModelEntry, ModelList
from speculatoviz.server.api.errors import UnknownModelError, error_document
from speculatoviz.server.api.generation import Piece, failures_in_words, pieces
from speculatoviz.server.api.logprobs import TokenNames
from speculatoviz.server.api.planning import PlannedChoice, planned
from speculatoviz.server.api.requests import ChatRequest, CompletionRequest, GenerationRequest
from speculatoviz.server.api.tally import Tally
from speculatoviz.server.api.writers import ChatWriter, CompletionWriter, Head, Statistics, Writer, document
from speculatoviz.server.disconnect import unless_gone
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.quotas import holder_of
from speculatoviz.server.refused import became_runs
from speculatoviz.server.traffic import Listing, Traffic
from speculatoviz.session.session import Session

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request cannot be used."},
    401: {"model": ErrorAnswer, "description": "The key is missing or wrong."},
    404: {"model": ErrorAnswer, "description": "There is no such model."},
    413: {"model": ErrorAnswer, "description": "The body is too long."},
    429: {"model": ErrorAnswer, "description": "Too many runs wait for the models, or the key uses too much."},
    503: {"model": ErrorAnswer, "description": "The models are not loaded."},
}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_END = "data: [DONE]\n\n"
_SEED_BITS = 53  # JavaScript has whole numbers up to 2^53


def random_seed() -> int:
    """A seed for a request that has none."""
    return secrets.randbits(_SEED_BITS)


def api_router(now: Callable[[], float], draw_seed: Callable[[], int] = random_seed) -> APIRouter:
    """The routes. now: seconds since 1970. draw_seed: returns a seed for requests without one."""
    router, begun = APIRouter(), int(now())

    @router.get("/v1/models", responses={503: _ERRORS[503]})
    async def models(request: Request) -> ModelList:
        return ModelList(data=[_entry(_host(request).ready(), begun)])

    @router.get("/v1/models/{name:path}", responses=_ERRORS)
    async def model(request: Request, name: str) -> ModelEntry:
        session = _host(request).ready()
        _check_model(session, name)
        return _entry(session, begun)

    @router.post("/v1/completions", response_model=Completion, responses=_ERRORS)
    async def completions(request: Request, asked: CompletionRequest) -> Response:
        host = _free_host(request)
        writer = CompletionWriter(asked, _names(host.ready(), asked))
        return await _answer(request, _exchange(request, host, asked, writer, "cmpl", int(now())), draw_seed)

    @router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_ERRORS)
    async def chat_completions(request: Request, asked: ChatRequest) -> Response:
        host = _free_host(request)
        writer = ChatWriter(asked, _names(host.ready(), asked))
        return await _answer(request, _exchange(request, host, asked, writer, "chatcmpl", int(now())), draw_seed)

    @router.api_route("/v1/{path:path}", methods=_METHODS, include_in_schema=False)
    async def no_route(request: Request) -> None:
        """Before the page's files, which would answer GET with 404 and other methods with 405, whatever the path."""
        routes = [route for route in router.routes if isinstance(route, Route)]
        partial = [route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
        allowed = sorted(method for route in partial for method in route.methods or ())
        raise HTTPException(405, headers={"Allow": ", ".join(allowed)}) if allowed else HTTPException(404)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> PlainTextResponse:
        from speculatoviz.server.api import prometheus  # the library's import registers collectors

        host = _host(request)
        name = "" if host.session is None else host.session.target.description.name
        queue = host.queue
        text = prometheus.exposition(host.counters, host.latencies, name, queue.running, queue.waiting)
        return PlainTextResponse(text, media_type=prometheus.CONTENT_TYPE)

    return router


def _host(request: Request) -> ModelHost:
    host: ModelHost = request.app.state.host
    return host


def _kept(request: Request) -> KeptRuns:
    kept: KeptRuns = request.app.state.runs
    return kept


def _free_host(request: Request) -> ModelHost:
    """The host, if a further run may wait for its models. Raises BusyError."""
    host = _host(request)
    host.check_busy()
    return host


def _names(session: Session, asked: GenerationRequest) -> TokenNames:
    return TokenNames(session.target.tokenizer, bool(asked.return_tokens_as_token_ids))


def _exchange(
    request: Request, host: ModelHost, asked: GenerationRequest, writer: Writer, kind: str, created: int
) -> _Exchange:
    route, key = str(request.scope["path"]), holder_of(request)
    return _Exchange(host, _kept(request), request.app.state.traffic, route, key, asked, writer, kind, created)


async def _answer(request: Request, exchange: _Exchange, draw_seed: Callable[[], int]) -> Response:
    choices = await exchange.plan(draw_seed)
    if any(choice.generates for choice in choices):
        became_runs(request)
    if exchange.asked.stream:
        return StreamingResponse(exchange.stream(choices), media_type="text/event-stream", headers=_NOT_KEPT)
    answer = await unless_gone(request, exchange.whole(choices))
    return answer if isinstance(answer, Response) else Response(answer, media_type="application/json")


_NOT_KEPT = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class _Exchange:
    """One request on its way through the models.

    kind: the prefix of its id. created: seconds since 1970. route, key: of the request, for the list of requests.
    """

    host: ModelHost
    kept: KeptRuns
    traffic: Traffic
    route: str
    key: str | None
    asked: GenerationRequest
    writer: Writer
    kind: str
    created: int
    tally: Tally = field(default_factory=Tally)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"{self.kind}-{secrets.token_hex(12)}"

    @property
    def head(self) -> Head:
        return Head(self.id, self.created, self.host.ready().target.description.name)

    async def plan(self, draw_seed: Callable[[], int]) -> list[PlannedChoice]:
        """The runs of the request. Raises BadRequestError, UnknownModelError and TargetError."""
        session, asked = self.host.ready(), self.asked
        _check_model(session, asked.model)
        with failures_in_words(self.id):
            return await self.host.prepare(lambda: planned(session, asked, draw_seed))

    async def whole(self, choices: list[PlannedChoice]) -> str:
        """The one document of an answer. It can be long, and is written beside the event loop."""
        found: list[list[Piece]] = []
        for choice in choices:
            found.append([piece async for piece in self._pieces(choice)])
        return await self.host.prepare(lambda: self._written(choices, found))

    def _written(self, choices: list[PlannedChoice], found: list[list[Piece]]) -> str:
        written = [self.writer.whole(choice, own) for choice, own in zip(choices, found, strict=True)]
        return document(self.writer.answer(self.head, written, self._statistics(usage=True)))

    async def stream(self, choices: list[PlannedChoice]) -> AsyncIterator[str]:
        """Server-sent events: a document for each round, then the statistics. An error becomes the last document."""
        options = self.asked.stream_options
        usage = options is not None and options.include_usage
        try:
            for choice in choices:
                last = choice is choices[-1] and not usage
                async with aclosing(self._parts(choice)) as parts:
                    async for part in parts:
                        closing = last and part.finish_reason is not None
                        statistics = self._statistics(usage=False) if closing else Statistics()
                        yield _event(document(self.writer.chunk(self.head, [part], statistics)))
            if usage:
                yield _event(document(self.writer.chunk(self.head, [], self._statistics(usage=True))))
        except SpeculatoVizError as error:
            yield _event(json.dumps(error_document(error)))
        yield _END

    async def _parts(self, choice: PlannedChoice) -> AsyncGenerator[Any, None]:
        """The parts of one choice in a stream; a round that adds no text and no score that was asked for has none.

        The opening comes with the first of them: clients take the first document for the time of the first token.
        """
        opening = self.writer.opening(choice)
        offset, first = 0, True
        tokens = self.asked.alternatives is not None or self.asked.return_token_ids
        async with aclosing(self._pieces(choice)) as found:
            async for piece in found:
                if piece.text or piece.finish_reason or (tokens and (piece.emitted or piece.prompt)):
                    if opening is not None:
                        yield opening
                        opening = None
                    yield self.writer.part(choice, piece, offset, first)
                    first = False
                offset += len(piece.text)

    def _pieces(self, choice: PlannedChoice) -> AsyncGenerator[Piece, None]:
        listing = Listing(self.traffic, f"{self.id}-{choice.index}", self.route, self.key)
        return pieces(self.host, self.kept, choice, self.tally, listing)

    def _statistics(self, *, usage: bool) -> Statistics:
        predicted = self.asked.prediction is not None
        return Statistics(self.tally.usage(predicted) if usage else None, self.tally.metrics(), self.tally.timings())


def _entry(session: Session, created: int) -> ModelEntry:
    name, size = session.target.description.name, session.target.context_tokens
    return ModelEntry(id=name, created=created, max_model_len=size, root=name)


def _check_model(session: Session, named: str | None) -> None:
    served = session.target.description.name
    if named not in {None, served, session.settings.resolved().target}:
        raise UnknownModelError(f"There is no model {named!r} here.", f"Use {served!r}, or leave out the model.")


def _event(data: str) -> str:
    return f"data: {data}\n\n"
