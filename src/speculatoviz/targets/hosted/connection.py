"""The HTTP client of one endpoint: the proxy it uses, where credentials go, and which redirects it follows."""

from __future__ import annotations

import ipaddress
import ssl
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
import openai

from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.address import Credentials

MOST_REDIRECTS = 5
_KEEPS_METHOD = {307, 308}
_PROXY_SETTINGS = "the environment variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
_PROXY_SCHEMES = {"http", "https", "socks5", "socks5h"}
_BYPASS = "or list the endpoint's host in NO_PROXY"


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


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reached without a network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback or inner.is_unspecified)


def proxy_for(url: httpx2.URL) -> httpx2.Proxy | None:
    """The proxy that the system's settings name for a URL; none for loopback. Raises TargetError if it is unusable."""
    if is_loopback(url.host) or urllib.request.proxy_bypass(f"{url.host}:{url.port}" if url.port else url.host):
        return None
    settings = urllib.request.getproxies()
    stated = settings.get(url.scheme) or settings.get("all")
    if not stated or _excluded(url.host, settings.get("no", "")):
        return None
    try:
        proxy = httpx2.Proxy(stated if "://" in stated else f"http://{stated}")
    except (httpx2.InvalidURL, ValueError):
        kind, separator, _ = stated.partition("://")
        what = f"of the kind {kind}://" if separator and kind not in _PROXY_SCHEMES else "that is no valid URL"
        raise TargetError(
            f"The proxy settings name a proxy {what}, which cannot be used ({_PROXY_SETTINGS}).",
            f"Set the URL of an http:// proxy, {_BYPASS}.",
        ) from None
    return proxy


def _excluded(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY lists a network that contains the host; names are compared by `urllib.request`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in (part.strip() for part in no_proxy.split(",")):
        try:
            if address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


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
        raise TargetError(
            f"The proxy {proxy.url if proxy else ''} needs the package socksio, which is not installed.",
            f"Install socksio, set the URL of an http:// proxy, {_BYPASS}.",
        ) from None
    except (OSError, ssl.SSLError) as error:
        raise TargetError(
            f"The certificates of this machine cannot be read ({error}).",
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
