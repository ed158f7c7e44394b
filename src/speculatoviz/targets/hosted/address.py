"""Addresses of hosted targets: `vllm:URL#model`, `sglang:URL#model`, `openai:URL#model`, `cerebras:MODEL`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import quote

import httpx2

from speculatoviz.errors import TargetError
from speculatoviz.targets.names import without_credentials

Scheme = Literal["vllm", "sglang", "openai", "cerebras"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
CEREBRAS_URL = "https://api.cerebras.ai/v1"

_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Credentials:
    """The value of the Authorization header. secrets: what must appear in no text, longest first."""

    authorization: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def bearer(cls, key: str) -> Credentials:
        """From an API key. Raises TargetError where an HTTP header cannot carry it."""
        key = key.strip()
        if not key or not all("!" <= character <= "~" for character in key):
            raise TargetError(
                "The API key contains characters that an HTTP header cannot carry, such as spaces, line breaks or "
                "letters with accents.",
                "Copy the key again, without anything before or after it.",
            )
        return cls(f"Bearer {key}", _spellings(key))

    @classmethod
    def basic(cls, user: str, password: str) -> Credentials:
        """From the user name and the password of a URL. A user name without a password may be a key."""
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(f"Basic {token}", _spellings(token) + _spellings(password or user))

    def redact(self, text: str) -> str:
        """The text with every secret replaced."""
        for secret in self.secrets:
            text = text.replace(secret, "(key)")
        return text


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is.

    url: the base URL of the OpenAI-compatible routes, as it is shown and asked; credentials are never part of it.
    root: the base URL of the server's own routes. model: None if the name has none.
    """

    scheme: Scheme
    url: str
    root: str
    model: str | None = None
    credentials: Credentials | None = None


def is_hosted(name: str) -> bool:
    """Whether the name of a target is that of an endpoint of others."""
    return name.partition(":")[0] in SCHEMES


def parse(name: str, api_key: str | None, environ: Mapping[str, str]) -> Address:
    """The address that a name states. A URL with a path is used as given; one without gets the usual /v1.

    api_key: the key of --target-api-key. environ: CEREBRAS_API_KEY, CEREBRAS_TARGET_MODEL and OPENAI_API_KEY are read.
    Raises TargetError for a name that is no address, and for a key that cannot be sent.
    """
    scheme, _, place = name.partition(":")
    if scheme not in SCHEMES:
        raise TargetError(
            f"{without_credentials(name)!r} is not the name of an endpoint.",
            f"Begin with one of: {', '.join(f'{known}:' for known in SCHEMES)}.",
        )
    if scheme == "cerebras":
        return _cerebras(place, api_key, environ)
    stated, _, model = place.partition("#")
    url = _url(name, scheme, stated)
    plain = str(url.copy_with(username=None, password=None)).rstrip("/")
    has_path = url.path.strip("/") != ""
    root = plain.removesuffix("/v1")
    as_given = has_path if scheme != "sglang" else plain != root  # SGLang's own routes are below the stated URL
    return Address(
        scheme,
        plain if as_given else f"{root}/v1",
        root,
        model or None,
        _credentials(url, api_key, environ.get("OPENAI_API_KEY") if scheme == "openai" else None),
    )


def _cerebras(model: str, api_key: str | None, environ: Mapping[str, str]) -> Address:
    key = api_key or environ.get("CEREBRAS_API_KEY")
    if not key:
        raise TargetError("A cerebras: target needs an API key.", "Set CEREBRAS_API_KEY.")
    model = model or environ.get("CEREBRAS_TARGET_MODEL") or ""
    root = CEREBRAS_URL.removesuffix("/v1")
    return Address("cerebras", CEREBRAS_URL, root, model or None, Credentials.bearer(key))


def _url(name: str, scheme: str, stated: str) -> httpx2.URL:
    """The URL in a name. Raises TargetError; the message does not repeat a user name, a password or a query."""
    hint = f"Write {scheme}:http://host:port#model."
    try:
        url = httpx2.URL(stated)
        valid = url.scheme in {"http", "https"} and bool(url.host) and (url.port is None or 0 < url.port <= _MOST_PORT)
    except (httpx2.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise TargetError(f"{without_credentials(name).partition('?')[0]!r} contains no valid URL.", hint)
    if url.query:
        raise TargetError(
            f"{url.scheme}://{url.host} is followed by a query (?…), which cannot be combined with the routes of an "
            "endpoint.",
            f"Leave the query out, and give a key with --target-api-key. {hint}",
        )
    return url


def _credentials(url: httpx2.URL, api_key: str | None, usual_key: str | None) -> Credentials | None:
    """From the URL's user name and password, else from the stated key, else from the usual one of such endpoints."""
    if url.username or url.password:
        if api_key:
            raise TargetError(
                "The target's URL contains a user name, and an API key is set besides: one request carries only one "
                "of them.",
                "Leave out one of them.",
            )
        return Credentials.basic(url.username, url.password)
    key = api_key or usual_key
    return Credentials.bearer(key) if key else None


def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as it is and as URLs write it."""
    return tuple(sorted({spelling for spelling in (secret, quote(secret, safe="")) if spelling}, key=len, reverse=True))
