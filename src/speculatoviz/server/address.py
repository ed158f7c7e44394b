"""Where a server listens, and how uvicorn runs it there."""

from __future__ import annotations

import socket
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server.access import is_loopback
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.protocols import LimitedConfig


def configured(application: FastAPI, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """The server of an application. Run it with `run(sockets=[listen(...)])`."""
    return uvicorn.Server(LimitedConfig(application, limits or ConnectionLimits()))


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

    Raises BadRequestError if that is not possible, or if other machines could use the service without a key.
    """
    if key_of(settings) is None and not is_loopback(_resolved(settings.host)):
        raise BadRequestError(
            f"Without a key {service} does not listen on {settings.host}.",
            "Give one (--api-key), or keep to 127.0.0.1.",
        )
    return listen(settings.host, settings.port)


def key_of(settings: Settings) -> str | None:
    """The key that clients have to send, without the spaces around it, which a header cannot carry. None for none."""
    return None if settings.api_key is None else settings.api_key.get_secret_value().strip()


def url(host: str, listening: socket.socket, key: str | None = None) -> str:
    """The page's address, with the port that the socket has. key: added to it, for a browser to show once.

    A server that listens on all addresses can be reached at that of loopback.
    """
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listening.getsockname()[1]}"
    return address if key is None else f"{address}/?key={quote(key, safe='')}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _resolved(host: str) -> str:
    """The address that a name stands for; the name itself if that is unknown."""
    try:
        return str(socket.getaddrinfo(host or None, 0, _family(host), flags=socket.AI_PASSIVE)[0][4][0])
    except OSError:
        return host
