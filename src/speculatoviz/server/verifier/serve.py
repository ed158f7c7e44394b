"""From settings to a listening verifier."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.calibration import REFERENCE_CONTEXT
from speculatoviz.measure.noise import POSITIONS, Noise, noise_floor
from speculatoviz.measure.plain import plain_run
from speculatoviz.measure.text import PASSAGE, PROMPT
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.tokenizers.chat import encode_for_measuring, encode_raw
from speculatoviz.server import address
from speculatoviz.server.certificate import certificate_of
from speculatoviz.server.key_ring import KeyRing
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.serve import serve_on
from speculatoviz.server.verifier.app import VerifierOptions, create_verifier
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.session.targets import is_remote, load_target
from speculatoviz.targets.local import LocalTarget

_NOISE_ROWS = 5
_SPARE_CONNECTIONS = 16  # beyond one for each session: clients that are refused, and requests for health


@dataclass(frozen=True, slots=True)
class Loaded:
    """A target, ready to be served. context_tokens: of a session. noise: its measured noise floor."""

    model: LanguageModel
    context_tokens: int
    noise: Noise
    settings: Settings

    def application(self, keys: KeyRing | None, host: str, clock: Callable[[], float]) -> FastAPI:
        """The verifier service. keys: None if clients need none. host: that it listens on; empty for any."""
        settings = self.settings
        options = VerifierOptions(self.context_tokens, settings.sessions, settings.session_idle_s, keys, host)
        return create_verifier(self.model, options, clock, self.noise)


def loaded(settings: Settings, clock: Callable[[], float], report: Progress) -> Loaded:
    """Load and measure the target of the settings. Raises ModelError."""
    room = settings.model_copy(update={"context_tokens": settings.context_tokens * settings.sessions})
    model, _ = load_target(room, report)
    context_tokens = min(settings.context_tokens, model.description.context_tokens)
    report("measuring the noise floor", 0.9)
    return Loaded(model, context_tokens, _noise(model, clock), settings)


def run(settings: Settings, clock: Callable[[], float], report: Progress) -> Callable[[Callable[[str], None]], None]:
    """Load and measure the target, and listen. Returns a function that serves until it is interrupted.

    That function is given another, which it calls with one line about what is served where. Raises BadRequestError if
    it may not or cannot listen there, and ModelError.
    """
    refuse_remote(settings)
    certificate = certificate_of(settings)
    listening = address.listen_for(settings, "the verifier")
    found = loaded(settings, clock, report)
    application = found.application(address.keys_of(settings), settings.host, clock)
    limits = ConnectionLimits(sockets=settings.sessions + _SPARE_CONNECTIONS, message_bytes=ClientLimits().frame_bytes)
    server = address.configured(application, limits, certificate)

    def serve(announce: Callable[[str], None]) -> None:
        everywhere = settings.host in {"", "0.0.0.0", "::"}  # noqa: S104
        host = socket.gethostname() if everywhere else settings.host
        where = address.url(host, listening, secure=certificate is not None).replace("http", "ws", 1)
        name = found.model.description.name
        announce(f"{name} for {settings.sessions} sessions at verifier:{where} (Ctrl+C stops it)")
        try:
            serve_on(server, listening, lambda: application.state.batcher.stuck)
        finally:
            found.model.close()

    return serve


def refuse_remote(settings: Settings) -> None:
    """Raises BadRequestError if the target is not of this machine."""
    name = settings.resolved().target
    if is_remote(name):
        raise BadRequestError(f"{name} is remote already.", "Serve a model of this machine.")


def _noise(model: LanguageModel, clock: Callable[[], float]) -> Noise:
    """The noise floor at 512 tokens of ordinary text, or after a short answer for a model that cannot read that."""
    target = LocalTarget(model, min(REFERENCE_CONTEXT, model.description.context_tokens), clock)
    try:
        ids = _reference(model, target.context_tokens)
        if ids is None:
            prompt = encode_for_measuring(model.tokenizer, PROMPT)
            ids = [*prompt, *plain_run(target, prompt, clock)[1]]
        return noise_floor(target.window, ids, _NOISE_ROWS)
    finally:
        target.close()


def _reference(model: LanguageModel, count: int) -> list[int] | None:
    try:
        ids = encode_raw(model.tokenizer, PASSAGE)[:count]
    except BadRequestError:
        return None
    return ids if len(ids) > POSITIONS else None
