"""The web server: the page, its WebSocket, and a small HTTP API."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from speculatoviz.config import PROFILES, RANGES, Settings
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Draft, Rule
from speculatoviz.drafters.about import DRAFTERS, About
from speculatoviz.errors import SpeculatoVizError
from speculatoviz.server.host import Host, Loader
from speculatoviz.server.info import (
    DraftedToken,
    DrafterInfo,
    Health,
    PassTime,
    ProfileInfo,
    RangeInfo,
    RuleInfo,
    SettingsInfo,
    TestDraft,
)
from speculatoviz.server.socket import Connection
from speculatoviz.session.session import Session

PAGE = Path(__file__).parent / "page"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OWN_NAMES = ["127.0.0.1", "localhost", "[::1]"]
_RULES: dict[Rule, tuple[str, str]] = {
    "token": ("Token by token", "Keeps each token with probability min(1, p/q); draws from what p has left."),
    "block": ("Block", "Tests whole prefixes of a chain: never keeps less, where tokens were drawn more."),
    "match": ("Match", "Draws from p and keeps the draft while it says the same: what many programs do."),
    "typical": ("Typical", "Keeps any token that is likely enough: faster, and no longer the target's distribution."),
}


def create_app(settings: Settings, load: Loader) -> FastAPI:
    """The application; `load` is called in the models' thread once the server is up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.host = Host(settings, load)
        async with app.state.host.running():
            yield

    app = FastAPI(title="SpeculatoViz", lifespan=lifespan, openapi_url="/api/openapi.json", docs_url=None)
    if settings.host in LOOPBACK:
        # A page elsewhere could point a name of its own at this address: only names of this machine are served.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_OWN_NAMES)
    app.add_exception_handler(SpeculatoVizError, _answer_error)
    _add_api(app)
    _add_socket(app)
    _add_page(app)
    return app


def _add_api(app: FastAPI) -> None:
    @app.get("/api/health")
    async def health() -> Health:
        host: Host = app.state.host
        return host.health()

    @app.get("/api/settings")
    async def settings() -> SettingsInfo:
        host: Host = app.state.host
        return settings_info(host.settings, host.session)

    @app.get("/api/test-draft")
    async def test_draft(
        prompt: str = "Write a Python function that merges two sorted lists", k: int = Query(4, ge=1, le=16)
    ) -> TestDraft:
        host: Host = app.state.host
        session = host.ready()

        def drafted() -> Iterator[Draft]:
            yield session.draft_only(prompt, k)

        results = [draft async for draft in host.stream(drafted, lambda _place: None, threading.Event())]
        return _test_draft(session, prompt, results[0])


def _add_socket(app: FastAPI) -> None:
    @app.websocket("/ws/tokens")
    async def tokens(socket: WebSocket) -> None:
        if not same_origin(socket):
            await socket.close(1008, "another origin")
            return
        await Connection(socket, app.state.host).serve()


def _add_page(app: FastAPI) -> None:
    if (PAGE / "index.html").exists():
        app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
        return

    @app.get("/")
    async def missing() -> PlainTextResponse:
        return PlainTextResponse("The page has not been built. Run `make page` and start again.\n", 503)


def same_origin(socket: WebSocket) -> bool:
    """Whether the page that opens the socket came from this server; clients other than browsers send no origin."""
    origin = socket.headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == socket.headers.get("host")
    except ValueError:  # not an address at all
        return False


def settings_info(settings: Settings, session: Session | None) -> SettingsInfo:
    """What the page's form offers: ranges, defaults, profiles, drafters, and what a pass costs here."""
    drafter = session.drafter if session else settings.resolved().drafter
    times = session.calibration.pass_ms if session else {}
    return SettingsInfo(
        ranges={n: RangeInfo(min=r.minimum, max=r.maximum, step=r.step, help=r.help) for n, r in RANGES.items()},
        defaults={
            "k": session.default_k(drafter) if session else settings.k,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            "max_tokens": settings.max_tokens,
            "seed": settings.seed,
            "drafter": drafter,
            "rule": settings.rule,
            "nodes": settings.nodes,
        },
        profiles=[
            ProfileInfo(name=p.name, title=p.title, target=p.target, draft=p.draft, drafter=p.drafter)
            for p in PROFILES.values()
        ],
        profile=settings.resolved().name,
        drafters=[_drafter_info(name, about, session) for name, about in DRAFTERS.items()],
        rules=[
            RuleInfo(name=name, title=title, help=text, label=RULES[name].label, trees=RULES[name].trees)
            for name, (title, text) in _RULES.items()
        ],
        pass_times=[PassTime(tokens=n, ms=ms) for n, ms in times.items()],
    )


def _drafter_info(name: str, about: About, session: Session | None) -> DrafterInfo:
    reason = "The models are not loaded." if session is None else session.missing.get(name)
    return DrafterInfo(
        name=name,
        title=about.title,
        help=about.help,
        paper=about.paper,
        trees=about.trees,
        available=reason is None,
        reason=None if reason is None else str(reason),
    )


def _test_draft(session: Session, prompt: str, draft: Draft) -> TestDraft:
    tokenizer = session.target.tokenizer
    draft_ms = sum(draft.times_ms)
    return TestDraft(
        drafter=session.drafter,
        prompt=prompt,
        tokens=[
            DraftedToken(
                token=tokenizer.token_name(token),
                token_id=token,
                draft_prob=q.prob(token) if q else 1.0,
                draft_time_ms=ms,
            )
            for token, q, ms in zip(draft.tokens.tolist(), draft.q, draft.times_ms, strict=True)
        ],
        draft_ms=draft_ms,
        tps=1000 * len(draft) / draft_ms if draft_ms else None,
    )


async def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SpeculatoVizError)
    body = {"code": error.code, "message": error.message, "hint": error.hint}
    return JSONResponse(body, status_code=503 if error.code == "model" else 400)
