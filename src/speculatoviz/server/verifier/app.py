"""The verifier service: one model, one computing thread, many sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import astuple, dataclass, field

from fastapi import FastAPI, WebSocket

from speculatoviz.measure.noise import Noise
from speculatoviz.models.base import LanguageModel
from speculatoviz.server.access import Access, AccessRules
from speculatoviz.server.key_ring import KeyRing
from speculatoviz.server.verifier.batching import PassBatcher
from speculatoviz.server.verifier.connection import ClientLimits, VerifierConnection
from speculatoviz.server.verifier.sessions import Sessions
from speculatoviz.server.workers import DaemonExecutor
from speculatoviz.targets.local import most_drafted
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack

READY = "/health/ready"  # answered without a key, for service managers
_OPEN_PATHS = frozenset({READY})
_TOKENIZING_THREADS = 4


@dataclass(frozen=True, slots=True)
class VerifierOptions:
    """How a model is served.

    context_tokens: of each session. sessions: at the same time. idle_s: seconds until an unused session is closed.
    keys: clients have to send one of them; None: they need none. host: the address it listens on; empty for any.
    stop_s: seconds that stopping waits for a pass in progress.
    """

    context_tokens: int
    sessions: int = 4
    idle_s: float = 600.0
    keys: KeyRing | None = None
    host: str = ""
    stop_s: float = 10.0
    limits: ClientLimits = field(default_factory=ClientLimits)


def create_verifier(
    model: LanguageModel, options: VerifierOptions, clock: Callable[[], float], noise: Noise | None = None
) -> FastAPI:
    """The application. noise: the model's measured noise floor, sent to clients. clock: seconds."""
    batcher = PassBatcher(clock, options.stop_s)
    sessions = Sessions(model, batcher, options.context_tokens, options.sessions, options.idle_s, clock)
    threads = DaemonExecutor(_TOKENIZING_THREADS, "tokenize")

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher, app.state.sessions = batcher, sessions
        async with batcher.running():
            expiring = asyncio.create_task(sessions.expire_regularly())
            try:
                yield
            finally:
                expiring.cancel()
                threads.shutdown(wait=False, cancel_futures=True)
                await asyncio.to_thread(model.tokenizer.close)  # ends renderings
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(options.stop_s):
                        await sessions.close_all()

    app = FastAPI(title="SpeculatoViz verifier", lifespan=lifespan, openapi_url=None)
    app.add_middleware(Access, rules=AccessRules(options.host, options.keys, pages=False, open_paths=_OPEN_PATHS))

    @app.get(READY)
    async def ready() -> dict[str, str]:
        """The model is loaded before the verifier listens."""
        return {"status": "ready"}

    @app.get("/health")
    async def health() -> dict[str, object]:
        return {
            "model": model.description.name,
            "sessions": sessions.count,
            "sessions_in_use": sessions.in_use,
            "passes": batcher.passes,
            "rounds_and_chunks": batcher.jobs,
            "rows": batcher.rows,
        }

    @app.websocket(wire.PATH)
    async def verify(socket: WebSocket) -> None:
        await socket.accept()
        await VerifierConnection(
            socket,
            model,
            sessions,
            lambda number: welcome(number, model, options, noise),
            options.limits,
            threads,
            clock,
        ).serve()

    return app


def welcome(number: int, model: LanguageModel, options: VerifierOptions, noise: Noise | None) -> wire.Welcome:
    """The answer to a hello: the model, its vocabulary and the limits."""
    about, tokenizer, limits = model.description, model.tokenizer, options.limits
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
            options.context_tokens,
            min(limits.draft_tokens, most_drafted(model)),
            limits.frame_bytes,
            options.sessions,
            limits.frames_per_s,
            options.idle_s,
        ),
        noise=None if noise is None else astuple(noise),
        trees="trees" in model.provides,
        beginning=pack(tokenizer.beginning),
    )
