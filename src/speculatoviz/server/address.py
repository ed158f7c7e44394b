"""Where a server listens, and how uvicorn runs it there."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from speculatoviz.config import Settings, keys_place
from speculatoviz.errors import BadRequestError
from speculatoviz.server.access import is_loopback
from speculatoviz.server.certificate import Certificate
from speculatoviz.server.key_ring import KeyRing
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.protocols import LimitedConfig, LimitedServer


def configured(
    application: FastAPI, limits: ConnectionLimits | None = None, certificate: Certificate | None = None
) -> uvicorn.Server:
    """The server of an application. Run it with `run(sockets=[listen(...)])`."""
    within = (limits or ConnectionLimits()).within(_descriptors())
    return LimitedServer(LimitedConfig(application, within, certificate))


def _descriptors() -> int:
    """How many files this process may have open; -1 if there is no limit, or the system has none of that kind."""
    try:
        import resource
    except ImportError:  # Windows
        return -1
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return -1 if soft == resource.RLIM_INFINITY else soft


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises BadRequestError if that is not possible."""
    try:
        return socket.create_server((host, port), family=_family(host))
    except OSError as error:
        raise BadRequestError(
            f"{host} port {port} cannot be listened on ({error.strerror or error}).",
            "Choose another with --host and --port, or stop what listens there.",
        ) from error


def listen_for(settings: Settings, service: str) -> socket.socket:
    """A socket that listens on the address of the settings. service: its name in an error.

    Raises BadRequestError if that is not possible, or if a key is needed and there is none, and KeysError.
    """
    keys = keys_of(settings)
    if keys is not None and keys.empty:
        raise BadRequestError(
            f"Without a key {service} does not listen on {settings.host}.",
            "Make one (`speculatoviz keys add NAME`), or give one (--api-key)"
            + (", or leave out --require-key." if settings.require_key else ", or keep to 127.0.0.1."),
        )
    return listen(settings.host, settings.port)


def keys_of(settings: Settings) -> KeyRing | None:
    """The keys of which clients have to send one; None if they need none.

    They need none on an address of loopback, unless the settings have a key or require one. Raises KeysError.
    """
    fixed = key_of(settings)
    if fixed is None and not settings.require_key and is_loopback(_resolved(settings.host)):
        return None
    return KeyRing(fixed, Path(keys_place(settings)), time.time)


def key_of(settings: Settings) -> str | None:
    """The key of the settings, without the spaces around it, which a header cannot carry. None for none."""
    return None if settings.api_key is None else settings.api_key.get_secret_value().strip()


def url(host: str, listening: socket.socket, key: str | None = None, *, secure: bool = False) -> str:
    """The page's address, with the port that the socket has. key: added to it, for a browser to show once.

    secure: whether the server speaks TLS.

    A server that listens on all addresses can be reached at that of loopback.
    """
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    name = f"[{host}]" if ":" in host else host
    address = f"{'https' if secure else 'http'}://{name}:{listening.getsockname()[1]}"
    return address if key is None else f"{address}/?key={quote(key, safe='')}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _resolved(host: str) -> str:
    """The address that a name stands for; the name itself if that is unknown."""
    try:
        return str(socket.getaddrinfo(host or None, 0, _family(host), flags=socket.AI_PASSIVE)[0][4][0])
    except OSError:
        return host
