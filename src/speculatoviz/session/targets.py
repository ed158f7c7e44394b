"""From settings to a target: a model of this process, our own verifier, or somebody else's endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from speculatoviz.config import REMOTE_SCHEMES, SELF_BY_DEFAULT, Settings
from speculatoviz.errors import ModelError
from speculatoviz.measure.noise import Noise
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.models.load import Loading, load_cheaper, load_model, load_tokenizer
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import LocalTarget
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.verifier.target import VerifierTarget

Report = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Connected:
    """A target, and what has to be closed after it."""

    target: Target
    model: LanguageModel | None = None
    loop: LoopThread | None = None
    noise: Noise | None = None

    def close(self) -> None:
        self.target.close()
        if self.model is not None:
            self.model.close()
        if self.loop is not None:
            self.loop.close()


def is_remote(name: str) -> bool:
    return name.partition(":")[0] in REMOTE_SCHEMES


def loading(settings: Settings) -> Loading:
    return Loading(settings.context_tokens, Path(settings.cache_dir), settings.threads, settings.device, settings.dtype)


def load(settings: Settings, name: str, quantisation: str | None, report: Report) -> LanguageModel:
    """Load a model of this process. report: told the stage and its share. Raises ModelError."""
    return load_model(
        name,
        loading(settings),
        quantisation,
        lambda stage, done, total: report(f"{stage} {name}", done / total if total else None),
    )


def load_cheaper_self(settings: Settings, report: Report) -> LanguageModel | None:
    """The cheaper version of the target that `selfspec` drafts with; None where nobody asked for it."""
    pair = settings.resolved()
    by = settings.selfspec or (SELF_BY_DEFAULT if pair.drafter == "selfspec" else None)
    if by is None:
        return None
    if is_remote(pair.target):
        raise ModelError("The target is elsewhere: it cannot draft for itself here.", "Choose another drafter.")
    return load_cheaper(
        pair.target,
        loading(settings),
        by,
        lambda stage, done, total: report(f"{stage} {pair.target}", done / total if total else None),
    )


def connect(settings: Settings, draft: LanguageModel | None, clock: Callable[[], float], report: Report) -> Connected:
    """The target of the settings. Raises ModelError and TargetError.

    draft: whose tokenizer an endpoint is read with where no other is named.
    """
    pair = settings.resolved()
    if not is_remote(pair.target):
        model = load(settings, pair.target, pair.target_quantisation, report)
        return local(model, draft, clock)
    if pair.target_quantisation is not None:
        raise ModelError(f"{pair.target} cannot be requantised here.", "Requantise it where it is loaded.")
    report(f"connecting to {pair.target}", None)
    return remote(settings, pair.target, lambda: None if draft is None else draft.tokenizer, clock, report)


def local(model: LanguageModel, draft: LanguageModel | None, clock: Callable[[], float]) -> Connected:
    models = [model] if draft is None else [model, draft]
    size = min(m.description.context_tokens for m in models)
    return Connected(LocalTarget(model, size, clock), model)


def remote(
    settings: Settings,
    name: str,
    tokenizer: Callable[[], Tokenizer | None],
    clock: Callable[[], float],
    report: Report,
    *,
    full: bool = False,
) -> Connected:
    """A target elsewhere, by name. tokenizer: what an endpoint is read with where the settings name none.

    full: probe an endpoint at length. Raises ModelError and TargetError.
    """
    loop = LoopThread()
    try:
        scheme, _, place = name.partition(":")
        if scheme == "verifier":
            key = _secret(settings.target_api_key)
            verifier = VerifierTarget(place, loop, clock, Path(settings.cache_dir), key)
            return Connected(verifier, None, loop, None if verifier.noise is None else Noise(*verifier.noise))
        read_with = _named_tokenizer(settings, report) or tokenizer()
        return Connected(_endpoint(settings, name, read_with, loop, clock, full), None, loop)
    except BaseException:
        loop.close()
        raise


def _endpoint(
    settings: Settings,
    name: str,
    tokenizer: Tokenizer | None,
    loop: LoopThread,
    clock: Callable[[], float],
    full: bool,
) -> Target:
    from speculatoviz.targets.hosted.chat_formats import fitted
    from speculatoviz.targets.hosted.open import open_endpoint

    stops = [name.strip() for name in settings.stop_tokens.split(",") if name.strip()]
    if tokenizer is not None:
        tokenizer = fitted(tokenizer, settings.chat_template, stops)
    environ = {
        "CEREBRAS_API_KEY": _secret(settings.cerebras_api_key) or "",
        "CEREBRAS_TARGET_MODEL": settings.cerebras_target_model or "",
    }
    key = _secret(settings.target_api_key)
    if name.startswith("openai:"):
        key = key or _secret(settings.openai_api_key)
    return open_endpoint(
        name,
        tokenizer,
        api_key=key,
        mode=settings.target_mode,
        context_tokens=settings.context_tokens,
        clock=clock,
        loop=loop,
        environ=environ,
        full=full,
    )


def _named_tokenizer(settings: Settings, report: Report) -> Tokenizer | None:
    name = settings.target_tokenizer
    if name is None:
        return None
    return load_tokenizer(
        name, loading(settings), lambda stage, done, total: report(f"{stage} {name}", done / total if total else None)
    )


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
