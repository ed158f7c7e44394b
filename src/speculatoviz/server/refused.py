"""The requests to the API that were refused, in groups: which error, how often and when.

A group keeps nothing that a client wrote: no prompt, no key, no path, no value of a field.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speculatoviz.server.api.requests import ChatRequest, CompletionRequest
from speculatoviz.server.disconnect import CLIENT_GONE
from speculatoviz.server.quotas import holder_of
from speculatoviz.server.refusals import Refusal, is_openai
from speculatoviz.telemetry.parts import Strict

MOST_GROUPS = 50
_ROUTES = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/models"})
_ONE_MODEL = "/v1/models/NAME"
_FIELDS = frozenset({*ChatRequest.model_fields, *CompletionRequest.model_fields})

# The names of clients, by how their User-Agent begins.
_CLIENTS = {
    "openai/": "OpenAI's library",
    "asyncopenai/": "OpenAI's library",
    "python-httpx/": "httpx",
    "python-requests/": "requests",
    "python-urllib/": "urllib",
    "python/": "aiohttp",  # "Python/3.11 aiohttp/3.12"
    "curl/": "curl",
    "wget/": "wget",
    "mozilla/": "browser",
    "node": "Node.js",
    "undici": "Node.js",
    "axios/": "axios",
    "go-http-client/": "Go",
    "okhttp/": "okhttp",
    "postmanruntime/": "Postman",
}

# Errors whose message has words and figures of the server alone.
_OWN_WORDS = frozenset({"body", "busy", "context_length_exceeded", "rate_limit_exceeded", "stopping"})

_REASONS = {
    "host": "It was sent to a host name that this server does not answer to.",
    "origin": "A browser sent it for another website.",
    "invalid_api_key": "Its key is missing or wrong.",
    "invalid_value": "{field} has a value that is not allowed.",
    "unsupported_parameter": "{field} is not supported with this value.",
    "bad_request": "It asks for something that this server does not do.",
    "model_not_found": "It names a model that is not served here.",
    "model": "The models are not loaded.",
    "target": "The remote target failed, or cannot compute this.",
    "not_found": "There is no such route.",
    "method": "The route does not take this method.",
}


class RefusedRequests(Strict):
    """Requests that ended with an error before a run began, alike in all but their time.

    `first_ms`, `last_ms`: since 1970. `status`, `code`: of the answer. `reason`: in words; figures in it are those of
    the last request. `route`: null if there is no such route. `client`: the program or library that sent them,
    null if unknown. `key`: the name of their key, null without one.
    """

    count: int
    first_ms: int
    last_ms: int
    status: int
    code: str
    reason: str
    route: str | None
    client: str | None
    key: str | None


class Refused:
    """The groups, the one that grew last at the end. For use in one event loop.

    now: seconds since 1970. most: groups that are kept, those that grew last.
    """

    def __init__(self, now: Callable[[], float], most: int = MOST_GROUPS) -> None:
        self._now, self._most = now, most
        self._groups: dict[tuple[object, ...], RefusedRequests] = {}
        self._changed = False
        self.on_change: Callable[[], None] = lambda: None

    def add(self, refusal: Refusal, request: HTTPConnection) -> None:
        """Count a request with its answer."""
        now_ms = round(1000 * self._now())
        route, client, key = _route(request), _client(request), holder_of(request)
        kind = (refusal.status, refusal.code, refusal.listed, _field(refusal), route, client, key)
        known = self._groups.pop(kind, None)
        self._groups[kind] = RefusedRequests(
            count=1 if known is None else known.count + 1,
            first_ms=now_ms if known is None else known.first_ms,
            last_ms=now_ms,
            status=refusal.status,
            code=refusal.code,
            reason=_reason(refusal),
            route=route,
            client=client,
            key=key,
        )
        if len(self._groups) > self._most:
            del self._groups[next(iter(self._groups))]
        self._changed = True
        self.on_change()

    def groups(self) -> list[RefusedRequests]:
        """All groups, the one that grew last at the end."""
        return list(self._groups.values())

    def take_changed(self) -> list[RefusedRequests] | None:
        """All groups if one changed since the last call, else None."""
        changed, self._changed = self._changed, False
        return self.groups() if changed else None


class ListsRefused:
    """ASGI middleware that lists the requests to the API that end with an error. Those that became runs are not."""

    def __init__(self, app: ASGIApp, refused: Refused) -> None:
        self._app, self._refused = app, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_openai(scope["path"]):
            await self._app(scope, receive, send)
            return
        statuses: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            status = statuses[0] if statuses else CLIENT_GONE
            state = scope.get("state", {})
            if status >= 400 and status != CLIENT_GONE and not state.get("became_runs"):
                self._refused.add(state.get("refusal") or Refusal(status, "error", ""), HTTPConnection(scope))


def became_runs(request: HTTPConnection) -> None:
    """From now on a request is listed by its runs, whatever becomes of them."""
    request.scope.setdefault("state", {})["became_runs"] = True


def _reason(refusal: Refusal) -> str:
    if refusal.listed or refusal.code in _OWN_WORDS:
        return refusal.listed or refusal.message
    usual = "It cannot be used." if refusal.status < 500 else "The server failed."
    return _REASONS.get(refusal.code, usual).format(field=_field(refusal) or "A field")


def _field(refusal: Refusal) -> str | None:
    return refusal.param if refusal.param in _FIELDS else None


def _route(request: HTTPConnection) -> str | None:
    path = str(request.scope["path"])
    return path if path in _ROUTES else _ONE_MODEL if path.startswith("/v1/models/") else None


def _client(request: HTTPConnection) -> str | None:
    agent = request.headers.get("user-agent", "").lower()
    return next((name for start, name in _CLIENTS.items() if agent.startswith(start)), None)
