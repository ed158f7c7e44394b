"""Where the server listens."""

from __future__ import annotations

import socket

from speculatoviz.errors import BadRequestError


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
