"""From settings to a listening verifier."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.calibration import REFERENCE_CONTEXT
from speculatoviz.measure.noise import POSITIONS, Noise, noise_floor
from speculatoviz.measure.plain import plain_run
from speculatoviz.measure.text import PASSAGE, PROMPT
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.tokenizers.chat import encode_turn
from speculatoviz.server import address
from speculatoviz.server.app import LOOPBACK
from speculatoviz.server.verifier.app import Serving, create_verifier
from speculatoviz.session.targets import Report, is_remote, load
from speculatoviz.targets.local import LocalTarget

_NOISE_ROWS = 5
_SPARE_CONNECTIONS = 16  # beyond the sessions: those that are refused, and health


def run(settings: Settings, clock: Callable[[], float], report: Report) -> Callable[[Callable[[str], None]], None]:
    """Load and measure the target, and listen; what is returned serves until it is interrupted.

    It is told where to say what it serves. Raises BadRequestError where it may not listen there, and ModelError.
    """
    if settings.host not in LOOPBACK and settings.api_key is None:
        raise BadRequestError(
            f"Without a key the verifier does not listen on {settings.host}.",
            "Give one (--api-key), or keep to 127.0.0.1.",
        )
    name = settings.resolved().target
    if is_remote(name):
        raise BadRequestError(f"{name} is elsewhere already.", "Serve a model of this machine.")
    listening = address.listen(settings.host, settings.port)
    room = settings.model_copy(update={"context_tokens": settings.context_tokens * settings.sessions})
    model = load(room, name, settings.resolved().target_quantisation, report)
    context_tokens = min(settings.context_tokens, model.description.context_tokens)
    report("measuring the noise floor", 0.9)
    noise = _noise(model, clock)
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    serving = Serving(context_tokens, settings.sessions, settings.session_idle_s, key)
    server = address.configured(
        create_verifier(model, serving, clock, noise),
        serving.bounds.frame_bytes,
        settings.sessions + _SPARE_CONNECTIONS,
    )

    def serve(say: Callable[[str], None]) -> None:
        where = address.url(settings.host, listening).replace("http://", "ws://")
        say(f"{model.description.name} for {settings.sessions} sessions at verifier:{where} (Ctrl+C stops it)")
        try:
            server.run(sockets=[listening])
        finally:
            model.close()

    return serve


def _noise(model: LanguageModel, clock: Callable[[], float]) -> Noise:
    """The noise floor at 512 tokens of ordinary text, or after a short answer for a model that cannot read that."""
    target = LocalTarget(model, min(REFERENCE_CONTEXT, model.description.context_tokens), clock)
    try:
        ids = _reference(model, target.context_tokens)
        if ids is None:
            prompt = encode_turn(model.tokenizer, PROMPT)
            ids = [*prompt, *plain_run(target, prompt, clock)[1]]
        return noise_floor(target.window, ids, _NOISE_ROWS)
    finally:
        target.close()


def _reference(model: LanguageModel, count: int) -> list[int] | None:
    try:
        ids = model.tokenizer.encode(PASSAGE, special=False)[:count]
    except BadRequestError:
        return None
    return ids if len(ids) > POSITIONS else None
