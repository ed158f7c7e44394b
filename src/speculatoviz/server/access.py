"""Who may use a server: names it answers to, pages of its own origin, and clients that have the key."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from speculatoviz.server.refusals import refusal

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
    """host: the address that the server listens on. key: what every client has to send; None for none.

    pages: whether browsers may use it, from pages of its own origin.
    """

    host: str
    key: str | None = None
    pages: bool = True

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

    @property
    def cookie(self) -> tuple[str, str]:
        """Name and value of the cookie of a browser that has shown the key. The key cannot be read from either."""
        key = (self.key or "").encode()
        name, value = (hmac.new(key, label, hashlib.sha256).hexdigest() for label in (b"cookie name", b"cookie"))
        return f"speculatoviz_{name[:8]}", value


class Access:
    """ASGI middleware that answers, instead of the application, every request that is not allowed."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None if scope["type"] == "lifespan" else self._answer(HTTPConnection(scope))
        await (answer or self._app)(scope, receive, send)

    def _answer(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that is not for the application; None for one that is."""
        rules = self._rules
        name = _host_name(request)
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
        if rules.key is None:
            return None
        shown = request.query_params.get("key") if rules.pages and _is_get(request) else None
        if shown is not None and _same(shown, rules.key):
            return self._let_in(request)
        return None if self._has_key(request, rules.key) else _key_missing(request, rules)

    def _let_in(self, request: HTTPConnection) -> Response:
        """Keep the key in a cookie, and take it out of the address."""
        rest = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "key"])
        path = "/" + str(request.scope["path"]).lstrip("/\\")  # two slashes would be another host
        answer = RedirectResponse(str(URL(path=path, query=rest)), 303)
        name, value = self._rules.cookie
        answer.set_cookie(name, value, httponly=True, samesite="strict", secure=request.scope["scheme"] == "https")
        return answer

    def _has_key(self, request: HTTPConnection, key: str) -> bool:
        name, value = self._rules.cookie
        given = request.headers.get("authorization", "")
        if given[:7].lower() == "bearer ":
            # The bytes of a header are those of its characters' numbers.
            return hmac.compare_digest(given[7:].encode("latin-1"), key.encode())
        return self._rules.pages and _same(request.cookies.get(name, ""), value)


def _key_missing(request: HTTPConnection, rules: AccessRules) -> Response:
    hint = "Send it in the header `Authorization: Bearer KEY`"
    hint += ", or open the page once with ?key=KEY." if rules.pages else "."
    return _refused(request, 401, "key", "The key of this server is missing or wrong.", hint)


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


def _same(given: str, expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())
