"""The HTTP client of one endpoint: the proxy it uses, where credentials go, and which redirects it follows."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
import openai

from speculatoviz.errors import TargetError, reason_of
from speculatoviz.targets import proxies
from speculatoviz.targets.hosted.address import Credentials

MOST_REDIRECTS = 5
_KEEPS_METHOD = {307, 308}


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits in seconds, and how often a failed call is repeated.

    longest_wait_s: if a Retry-After header asks for more, the call fails instead. connections: the most at one time.
    """

    connect_s: float = 10.0
    read_s: float = 120.0
    retries: int = 4
    longest_wait_s: float = 20.0
    connections: int = 64


class RedirectError(openai.OpenAIError):
    """A redirect that is not followed; its text is a part of a sentence."""


def proxy_for(url: httpx2.URL) -> httpx2.Proxy | None:
    """The proxy that the system's settings name for a URL. Raises TargetError if it cannot be used."""
    stated = proxies.proxy_url(url.scheme, url.host, url.port)
    try:
        return None if stated is None else httpx2.Proxy(stated)
    except (httpx2.InvalidURL, ValueError):
        raise TargetError(f"The proxy settings contain no valid URL ({proxies.SETTINGS}).", proxies.REMEDY) from None


def client(
    base_url: str,
    credentials: Credentials | None,
    patience: Patience,
    proxy: httpx2.Proxy | None,
    look_at: Callable[[httpx2.Response], Awaitable[None]],
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """A client for one host. look_at: called with each response. transport: what requests go through, for tests.

    Raises TargetError where the proxy or the certificates of this machine cannot be used.
    """
    host = httpx2.URL(base_url).host

    async def authorize(request: httpx2.Request) -> None:
        """Credentials are added here alone, and only to requests for the endpoint's own host."""
        for name in [name for name in request.headers if name.startswith("openai-")]:
            del request.headers[name]  # the SDK adds organisation and project from the environment
        request.headers.pop("authorization", None)
        if credentials is not None and request.url.host == host:
            request.headers["authorization"] = credentials.authorization

    try:
        return httpx2.AsyncClient(
            base_url=base_url,
            timeout=httpx2.Timeout(patience.read_s, connect=patience.connect_s),
            limits=httpx2.Limits(max_connections=patience.connections, max_keepalive_connections=patience.connections),
            event_hooks={"request": [authorize], "response": [check_redirect, look_at]},
            follow_redirects=True,
            transport=transport,
            proxy=proxy,
            verify=httpx2.create_ssl_context(),
            trust_env=False,  # `proxy` is the environment's already
        )
    except ImportError:
        raise proxies.socks_package_missing("socksio") from None
    except (OSError, ssl.SSLError) as error:
        raise TargetError(
            f"The certificates of this machine cannot be read ({reason_of(error)}).",
            "Check the environment variables SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None


async def check_redirect(response: httpx2.Response) -> None:
    """Raises RedirectError for a redirect to another host or from https to http, and for one that loses the body."""
    if not response.has_redirect_location:
        return
    request = response.request
    try:
        location = request.url.join(response.headers["location"])
    except httpx2.InvalidURL:
        raise RedirectError("redirects to an address that is not valid") from None
    count = request.extensions.get("redirects", 0) + 1
    request.extensions["redirects"] = count  # the redirected request takes the extensions over
    refused = None
    if location.host != request.url.host:
        refused = "another host, where no credentials are sent"
    elif location.scheme not in {"http", "https"} or (request.url.scheme, location.scheme) == ("https", "http"):
        refused = "a connection without encryption"
    elif request.method != "GET" and response.status_code not in _KEEPS_METHOD:
        refused = f"a request of another kind (HTTP {response.status_code})"
    elif count > MOST_REDIRECTS:
        refused = f"a further address, the {count}th"
    if refused:
        raise RedirectError(f"redirects to {refused}: {_shown(location)}")


def _shown(url: httpx2.URL) -> str:
    """Without user name, password, query and fragment."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
