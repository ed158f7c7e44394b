"""Where the server listens, and how it is run there."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from speculatoviz.errors import BadRequestError

_GOODBYE_S = 2  # for clients that do not read what they are sent, when the server stops


def configured(application: FastAPI, frame_bytes: int = 1 << 24, connections: int | None = None) -> uvicorn.Server:
    """Run it with `run(sockets=[listen(...)])`. frame_bytes: of a WebSocket message; connections: at most so many."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="warning",
            ws="websockets-sansio",
            ws_max_size=frame_bytes,
            limit_concurrency=connections,
            timeout_graceful_shutdown=_GOODBYE_S,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises BadRequestError where that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadRequestError(
            f"{host} port {port} cannot be listened on ({error.strerror or error}).",
            "Choose another with --host and --port, or stop what listens there.",
        ) from error


def url(host: str, listening: socket.socket) -> str:
    """The page's address at the port that was really taken."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
