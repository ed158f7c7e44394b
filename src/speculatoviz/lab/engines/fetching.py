"""One text from an address that the user names, bounded in size and time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx2

from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted import connection
from speculatoviz.targets.hosted.address import Credentials
from speculatoviz.targets.hosted.connection import Patience, RedirectError

_WRITE = "Write http://host:port/metrics."


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that is read, in bytes, and the longest that it takes, in seconds."""

    most_bytes: int = 16 << 20
    total_s: float = 30.0


def fetch(
    name: str, api_key: str | None, bounds: Bounds | None = None, transport: httpx2.AsyncBaseTransport | None = None
) -> str:
    """The body of a GET request. An address without a path stands for its /metrics.

    transport: what requests go through, for tests. Raises TargetError in words that contain no credentials.
    """
    url, credentials = parsed(name, api_key)
    return asyncio.run(fetched(url, credentials, bounds or Bounds(), transport))


def parsed(name: str, api_key: str | None) -> tuple[httpx2.URL, Credentials | None]:
    """The address, with the path /metrics if it has none, and what it is asked with. Raises TargetError."""
    try:
        url = httpx2.URL(name)
        valid = url.scheme in {"http", "https"} and bool(url.host)
    except (httpx2.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise TargetError("The address is not valid.", _WRITE)
    credentials = Credentials.bearer(api_key) if api_key else None
    if url.username or url.password:
        credentials = Credentials.basic(url.username, url.password)
    plain = url.copy_with(username=None, password=None)
    return (plain if plain.path.strip("/") else plain.copy_with(path="/metrics")), credentials


async def fetched(
    url: httpx2.URL, credentials: Credentials | None, bounds: Bounds, transport: httpx2.AsyncBaseTransport | None
) -> str:
    """The same for an address that is known to be one."""

    async def look_at(response: httpx2.Response) -> None:
        del response

    shown = str(url.copy_with(query=None, fragment=None))
    proxy = connection.proxy_for(url) if transport is None else None
    client = connection.client(str(url), credentials, Patience(read_s=bounds.total_s), proxy, look_at, transport)
    try:
        async with asyncio.timeout(bounds.total_s), client, client.stream("GET", url) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > bounds.most_bytes:
                    raise TargetError(
                        f"{shown} answers more than {bounds.most_bytes >> 20} MiB.", "Name the address of statistics."
                    )
    except RedirectError as error:
        raise TargetError(f"{shown} {error}.", "Use the address that it redirects to, if you trust it.") from None
    except (TimeoutError, httpx2.TimeoutException):
        raise TargetError(f"{shown} did not answer within {bounds.total_s:.0f} s.", "Try again.") from None
    except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
        cause = str(error.__cause__ or error) or type(error).__name__
        raise TargetError(
            f"{shown} cannot be read ({_line(cause)}).", "Check the address and start the server."
        ) from None
    if response.status_code != 200:
        hint = "Set its key with --target-api-key." if response.status_code in {401, 403} else _WRITE
        raise TargetError(f"{shown} answered HTTP {response.status_code}.", hint)
    return bytes(body).decode("utf-8", "replace")


def _line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:200]
