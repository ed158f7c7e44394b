"""Who may use a server: names it answers to, pages of its own origin, and clients that have a key."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from speculatoviz.server.key_file import cookie_of
from speculatoviz.server.key_ring import KeyRing
from speculatoviz.server.login import MOST_BYTES, given_key, login_page
from speculatoviz.server.refusals import is_openai, refusal

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# Sent with every answer. React, recharts and radix set styles on elements; scripts come from files of the page alone.
SECURITY_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, can be reached from this machine alone."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


@dataclass(frozen=True, slots=True)
class AccessRules:
    """host: the address that the server listens on. keys: one of them every client has to send; None for none.

    pages: whether browsers may use it, from pages of its own origin. open_paths: answered to everybody.
    """

    host: str
    keys: KeyRing | None = None
    pages: bool = True
    open_paths: frozenset[str] = frozenset()

    def answers_to(self, name: str) -> bool:
        """Whether a request may be for this host name. A page could point any name of its own at this machine.

        On loopback: the names of loopback. On one address: that address, this machine's name, and any other address,
        which no name server can point elsewhere. On all addresses the names are not known: the key protects there.
        A service without pages refuses all requests of browsers, and needs no names beyond loopback.
        """
        if is_loopback(self.host):
            return name in _LOOPBACK_NAMES | {self.host.lower()}
        address = _address(self.host)
        if not self.pages or not self.host or (address is not None and address.is_unspecified):
            return True
        return name in {self.host.lower(), socket.gethostname().lower()} or _address(name) is not None

    @property
    def names(self) -> str:
        """The names to suggest to a user."""
        return "127.0.0.1 or localhost" if is_loopback(self.host) else self.host


class Access:
    """ASGI middleware that answers, instead of the application, every request that is not allowed.

    The name of the key that a request came with is `holder` in the state of its scope; None if no key is needed.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        answer = self._stranger(request) or await self._without_key(request, receive)
        await (answer or self._app)(scope, receive, send)

    def _stranger(self, request: HTTPConnection) -> Response | None:
        """The answer to a request for another name, or of another website; None for all others."""
        rules = self._rules
        name = _host_name(request)
        if _path(request) in rules.open_paths:
            return None
        if name is None or not rules.answers_to(name):
            return _refused(request, 400, "host", "This server does not answer to that name.", f"Use {rules.names}.")
        if _from_another_page(request) or ("origin" in request.headers and not rules.pages):
            return _refused(
                request,
                403,
                "origin",
                "Another website asked for this.",
                "Open the page itself." if rules.pages else "Use a client of SpeculatoViz.",
            )
        return None

    async def _without_key(self, request: HTTPConnection, receive: Receive) -> Response | None:
        """The answer to a request that came without a key, or only shows it; None for one with a key."""
        rules = self._rules
        if rules.keys is None or _path(request) in rules.open_paths:
            return None
        if rules.pages and _is_get(request) and (shown := request.query_params.get("key")) is not None:
            if rules.keys.holder(shown) is not None:
                return _let_in(request, shown)
        elif rules.pages and _is_login(request):
            typed = await given_key(receive)
            if typed is not None and rules.keys.holder(typed) is not None:
                return _let_in(request, typed)
            return login_page(wrong=True)
        holder = self._holder(request, rules.keys)
        if holder is None:
            return login_page() if rules.pages and _wants_page(request) else _key_missing(request, rules)
        request.scope.setdefault("state", {})["holder"] = holder
        return None

    def _holder(self, request: HTTPConnection, keys: KeyRing) -> str | None:
        """The name of the key in the header, else of the one that this browser has shown."""
        given = request.headers.get("authorization", "")
        if given[:7].lower() == "bearer ":
            # The bytes of a header are those of its characters' numbers.
            return keys.holder(given[7:].encode("latin-1").decode(errors="surrogateescape"))
        cookie = request.cookies.get(_cookie_name(request)) if self._rules.pages else None
        return None if cookie is None else keys.holder_of_cookie(cookie)


def _let_in(request: HTTPConnection, key: str) -> Response:
    """Keep that the key was shown in a cookie, and take it out of the address."""
    rest = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "key"])
    path = "/" + _path(request).lstrip("/\\")  # two slashes would be another host
    answer = RedirectResponse(str(URL(path=path, query=rest)), 303)
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(_cookie_name(request), cookie_of(key), httponly=True, samesite="strict", secure=secure)
    return answer


def _cookie_name(request: HTTPConnection) -> str:
    """Browsers send the cookies of a host to all its ports: each has a name of its own."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"speculatoviz_{port if port.isdecimal() else request.scope['scheme']}"


def _is_login(request: HTTPConnection) -> bool:
    """Whether this is the form of the page that asks for a key. No page takes another POST."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    form = kind == "application/x-www-form-urlencoded" and request.headers.get("content-length", "").isdecimal()
    short = form and int(request.headers["content-length"]) <= MOST_BYTES
    return short and request.scope.get("method") == "POST" and not _is_api(request)


def _wants_page(request: HTTPConnection) -> bool:
    return _is_get(request) and not _is_api(request) and "text/html" in request.headers.get("accept", "")


def _is_api(request: HTTPConnection) -> bool:
    path = _path(request)
    return is_openai(path) or path.startswith(("/api/", "/ws/")) or path == "/metrics"


def _key_missing(request: HTTPConnection, rules: AccessRules) -> Response:
    hint = "Send it in the header `Authorization: Bearer KEY`"
    hint += ", or open the page in a browser, which asks for it." if rules.pages else "."
    code = "invalid_api_key" if is_openai(_path(request)) else "key"
    return _refused(request, 401, code, "The key of this server is missing or wrong.", hint)


def _refused(request: HTTPConnection, status: int, code: str, message: str, hint: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if request.scope["type"] == "websocket":
        headers |= SECURITY_HEADERS  # uvicorn adds them to other answers
    return refusal(request, status, code, message, hint, headers)


def _from_another_page(request: HTTPConnection) -> bool:
    """Whether a browser sent this for a page of another origin. Following a link to the page is allowed.

    A browser names the site in Sec-Fetch-Site, and with a WebSocket or a POST in Origin. Other clients send neither.
    """
    headers = request.headers
    if "origin" in headers and _netloc(headers["origin"]) != headers.get("host"):
        return True
    follows_a_link = (
        _is_get(request)
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"} and not follows_a_link


def _is_get(request: HTTPConnection) -> bool:
    return request.scope.get("method") == "GET"


def _host_name(request: HTTPConnection) -> str | None:
    """The host name that the request is for, without port and brackets; None if it cannot be read."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _path(request: HTTPConnection) -> str:
    return str(request.scope["path"])
