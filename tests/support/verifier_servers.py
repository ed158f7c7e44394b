"""Verifiers on real sockets that stop with a test; the errors that they log fail it."""

from __future__ import annotations

import logging
from typing import Any

from speculatoviz.models.base import LanguageModel
from speculatoviz.server.verifier.app import VerifierOptions
from support.verifier import VerifierServer
from support.verifier_client import toys

_LOGGERS = ("uvicorn.error", "speculatoviz")


class Servers(logging.Handler):
    """Starts verifiers. errors: the messages that they logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self._servers: list[VerifierServer] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if "lifespan" not in text:  # being stopped at once is no failure
            self.errors.append(text)

    def start(
        self, model: LanguageModel | None = None, how: VerifierOptions | None = None, port: int = 0, **limits: Any
    ) -> VerifierServer:
        server = VerifierServer(model or toys()[0], how, port, **limits)
        for name in _LOGGERS:  # only now: a server sets up its logging anew
            logging.getLogger(name).addHandler(self)
        self._servers.append(server)
        return server

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)
