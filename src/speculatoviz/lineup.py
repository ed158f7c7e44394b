"""The drafters that there are for a target, by name: those that stand alone, then those made of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speculatoviz.config import Settings
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.models.base import LanguageModel
from speculatoviz.targets.base import Target

MODEL_SHARE = 0.8  # of a mixture: what a match adds to a model's opinion


def lineup(
    settings: Settings, target: Target, draft: LanguageModel | None, clock: Callable[[], float]
) -> dict[str, Drafter]:
    """Every drafter that these settings and models allow. clock: seconds. Raises VocabularyMismatchError."""
    ngram = NgramDrafter(settings.ngram_min, settings.ngram_max)
    drafters: dict[str, Drafter] = {"ngram": ngram}
    if draft is None:
        return drafters
    model = model_drafter(settings, target, draft, clock)
    combined: Sequence[Drafter] = (
        MixtureDrafter([(MODEL_SHARE, model), (1.0 - MODEL_SHARE, ngram)], clock),
        MultiDrafter([ngram, model]),
        HybridDrafter([ngram], model),
    )
    return drafters | {"model": model} | {drafter.name: drafter for drafter in combined}


def model_drafter(settings: Settings, target: Target, model: LanguageModel, clock: Callable[[], float]) -> ModelDrafter:
    """A draft model of the target's own vocabulary, or of another."""
    kind = ModelDrafter if model.tokenizer.fingerprint == target.tokenizer.fingerprint else TranslatedDrafter
    size = min(target.context_tokens, model.description.context_tokens)
    return kind(model, target.tokenizer, size, clock, settings.support_size)
