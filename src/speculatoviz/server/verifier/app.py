"""The verifier service: one model, one computing thread, many sessions."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field

from fastapi import FastAPI, WebSocket

from speculatoviz.measure.noise import Noise
from speculatoviz.models.base import LanguageModel
from speculatoviz.server.verifier.connection import Bounds, Connection
from speculatoviz.server.verifier.passes import Passes
from speculatoviz.server.verifier.sessions import Seats
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import pack


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served. api_key: what clients have to know. idle_s: until an unused session is given up."""

    context_tokens: int
    sessions: int = 4
    idle_s: float = 600.0
    api_key: str | None = None
    bounds: Bounds = field(default_factory=Bounds)


def create_verifier(
    model: LanguageModel, serving: Serving, clock: Callable[[], float], noise: Noise | None = None
) -> FastAPI:
    """The application. noise: the model's measured noise floor, told to clients. clock: seconds."""
    passes = Passes(clock)
    seats = Seats(model, passes, serving.context_tokens, serving.sessions, serving.idle_s, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.passes, app.state.seats = passes, seats
        async with passes.running():
            expiring = asyncio.create_task(seats.keep_expiring())
            try:
                yield
            finally:
                expiring.cancel()
                await seats.close_all()

    app = FastAPI(title="SpeculatoViz verifier", lifespan=lifespan, openapi_url=None, docs_url=None)

    @app.get("/health")
    async def health() -> dict[str, object]:
        return {
            "model": model.description.name,
            "sessions": seats.taken,
            "passes": passes.passes,
            "rounds_and_chunks": passes.jobs,
            "rows": passes.rows,
        }

    @app.websocket(wire.PATH)
    async def verify(socket: WebSocket) -> None:
        if not _allowed(socket, serving.api_key):
            await socket.close(1008, "the key is missing or wrong")
            return
        await socket.accept()
        bounds = serving.bounds
        await Connection(
            socket, model, seats, lambda number: _welcome(number, model, serving, noise), bounds, clock
        ).serve()

    return app


def _allowed(socket: WebSocket, key: str | None) -> bool:
    """Keys are compared in constant time. Web pages, which send an origin, have no business here."""
    if "origin" in socket.headers:
        return False
    if key is None:
        return True
    given = socket.headers.get("authorization", "").encode("latin-1")
    return hmac.compare_digest(given, f"Bearer {key}".encode())


def _welcome(number: int, model: LanguageModel, serving: Serving, noise: Noise | None) -> wire.Welcome:
    about, tokenizer, bounds = model.description, model.tokenizer, serving.bounds
    return wire.Welcome(
        number=number,
        version=wire.VERSION,
        name=about.name,
        runtime=about.runtime,
        quantisation=about.quantisation,
        parameters=about.parameters,
        size_bytes=about.size_bytes,
        computes_on=about.computes_on,
        n_vocab=tokenizer.n_vocab,
        fingerprint=tokenizer.fingerprint,
        eos=pack(sorted(tokenizer.eos_ids)),
        has_chat_template=tokenizer.has_chat_template,
        limit=wire.Limit(
            serving.context_tokens,
            bounds.draft_tokens,
            bounds.frame_bytes,
            serving.sessions,
            bounds.frames_per_s,
            serving.idle_s,
        ),
        noise=None if noise is None else astuple(noise),
        trees="trees" in model.provides,
    )
