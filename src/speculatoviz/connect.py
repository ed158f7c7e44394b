"""From settings to a target: a model of this process, our own verifier, or somebody else's endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from speculatoviz.config import REMOTE_SCHEMES, Settings
from speculatoviz.core.types import Exactness
from speculatoviz.errors import ModelError
from speculatoviz.measure import Noise
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.load import Loading, load_model
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import EXACT, LocalTarget
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.remote import VerifierTarget

Report = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Connected:
    """A target, and what has to be closed after it. exactness: what is claimed before a request is known."""

    target: Target
    model: LanguageModel | None
    loop: LoopThread | None
    exactness: Exactness
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


def connect(settings: Settings, draft: LanguageModel | None, clock: Callable[[], float], report: Report) -> Connected:
    """The target of the settings. Raises ModelError and TargetError.

    draft: whose tokenizer an endpoint without one is read with.
    """
    pair = settings.resolved()
    if not is_remote(pair.target):
        model = load(settings, pair.target, pair.target_quantisation, report)
        return local(model, draft, clock)
    if pair.target_quantisation is not None:
        raise ModelError(f"{pair.target} cannot be requantised here.", "Requantise it where it is loaded.")
    report(f"connecting {pair.target}", None)
    loop = LoopThread()
    try:
        return _remote(settings, pair.target, draft, clock, loop)
    except BaseException:
        loop.close()
        raise


def local(model: LanguageModel, draft: LanguageModel | None, clock: Callable[[], float]) -> Connected:
    models = [model] if draft is None else [model, draft]
    size = min(m.description.context_tokens for m in models)
    return Connected(LocalTarget(model, size, clock), model, None, EXACT)


def _remote(
    settings: Settings, name: str, draft: LanguageModel | None, clock: Callable[[], float], loop: LoopThread
) -> Connected:
    del draft
    scheme, _, place = name.partition(":")
    if scheme == "verifier":
        verifier = VerifierTarget(place, loop, clock, Path(settings.cache_dir), _secret(settings.target_api_key))
        noise = None if verifier.noise is None else Noise(*verifier.noise)
        return Connected(verifier, None, loop, verifier.exactness, noise)
    raise ModelError(f"{scheme} is not there yet.", "Use verifier:.")


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
