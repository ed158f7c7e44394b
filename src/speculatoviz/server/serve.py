"""From settings to a page that is served."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from speculatoviz.config import Settings
from speculatoviz.server import address
from speculatoviz.server.app import create_app
from speculatoviz.server.certificate import certificate_of
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.model_host import SessionLoader


@dataclass(frozen=True, slots=True)
class PageServer:
    """A server that listens. address: of the page. url: the same with the key of the settings, if they have one.

    run: serve until interrupted.
    """

    address: str
    url: str
    listening: socket.socket
    run: Callable[[], None]


def page_server(settings: Settings, load: SessionLoader, limits: RunLimits | None = None) -> PageServer:
    """Listen on the address of the settings. load: called in the models' thread once the server runs.

    Raises BadRequestError if it may not or cannot listen there.
    """
    certificate = certificate_of(settings)
    listening = address.listen_for(settings, "the page")
    application = create_app(settings, load, limits)
    server = address.configured(application, certificate=certificate)

    secure = certificate is not None
    return PageServer(
        address.url(settings.host, listening, secure=secure),
        address.url(settings.host, listening, address.key_of(settings), secure=secure),
        listening,
        lambda: serve_on(server, listening, lambda: application.state.host.stuck),
    )


def serve_on(server: uvicorn.Server, listening: socket.socket, stuck: Callable[[], bool]) -> None:
    """Serve until interrupted. stuck: whether a thread is still computing with the models afterwards.

    If so, the process ends here: the interpreter would free the models while the thread uses them.
    """
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if server.started and stuck():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
