"""Verifiers on real sockets that end with a test, and whose errors fail it."""

from __future__ import annotations

import logging

from speculatoviz.models.base import LanguageModel
from speculatoviz.server.verifier.app import Serving
from support.verifier import VerifierServer
from support.verifier_client import toys

_LOGGERS = ("uvicorn.error", "speculatoviz")


class Servers(logging.Handler):
    """Starts verifiers. errors: what they have logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self._servers: list[VerifierServer] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if "lifespan" not in text:  # being stopped at once is no failure
            self.errors.append(text)

    def start(self, model: LanguageModel | None = None, how: Serving | None = None, port: int = 0) -> VerifierServer:
        server = VerifierServer(model or toys()[0], how, port)
        for name in _LOGGERS:  # only now: a server sets up its logging anew
            logging.getLogger(name).addHandler(self)
        self._servers.append(server)
        return server

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)
