"""The drafters that there are for a target, by name: those that stand alone, then those made of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from speculatoviz.config import Settings
from speculatoviz.core.types import Need
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.selfspec import SelfDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.errors import HeadError
from speculatoviz.models.base import LanguageModel
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import NEEDED_OF_A_RUNTIME, LocalTarget

MODEL_SHARE = 0.8  # of a mixture: what a match adds to a model's opinion
SHIPPED = Path(__file__).parent / "heads" / "shipped"


def lineup(
    settings: Settings,
    target: Target,
    draft: LanguageModel | None,
    cheaper: LanguageModel | None,
    clock: Callable[[], float],
) -> dict[str, Drafter]:
    """Every drafter that these settings and models allow. cheaper: a version of the target. clock: seconds.

    Raises VocabularyMismatchError, and HeadError for a file of heads that does not fit the target.
    """
    ngram = NgramDrafter(settings.ngram_min, settings.ngram_max)
    suffix = SuffixDrafter(clock, settings.suffix_longest, corpus_tokens=settings.corpus_tokens)
    drafters: list[Drafter] = [ngram, suffix, *_of_the_target(settings, target, clock)]
    if cheaper is not None:
        size = min(target.context_tokens, cheaper.description.context_tokens)
        drafters.append(SelfDrafter(cheaper, target.tokenizer, size, clock, settings.support_size))
    if draft is not None:
        model = _model_drafter(settings, target, draft, clock)
        drafters += [
            model,
            MixtureDrafter([(MODEL_SHARE, model), (1.0 - MODEL_SHARE, suffix)], clock),
            MultiDrafter([suffix, model]),
            HybridDrafter([suffix], model),
        ]
    return {drafter.name: drafter for drafter in drafters}


def _model_drafter(
    settings: Settings, target: Target, model: LanguageModel, clock: Callable[[], float]
) -> ModelDrafter:
    """A draft model of the target's own vocabulary, or of another."""
    kind = ModelDrafter if model.tokenizer.fingerprint == target.tokenizer.fingerprint else TranslatedDrafter
    size = min(target.context_tokens, model.description.context_tokens)
    return kind(model, target.tokenizer, size, clock, settings.support_size)


def _of_the_target(settings: Settings, target: Target, clock: Callable[[], float]) -> list[Drafter]:
    """Those that use the target's own passes: they need it in this process."""
    drafters: list[Drafter] = []
    if not isinstance(target, LocalTarget):
        return drafters
    if _gives(target, "probes"):
        size, ngram, guesses = settings.lookahead_window, settings.lookahead_ngram, settings.lookahead_guesses
        drafters.append(LookaheadDrafter(size, ngram, guesses))
    if _gives(target, "hidden"):
        drafters += _with_heads(settings, target, clock)
    elif settings.head is not None:
        raise HeadError(f"{target.description.runtime} gives no hidden states.", "Load the target with llama.cpp.")
    return drafters


def _gives(target: LocalTarget, need: Need) -> bool:
    return NEEDED_OF_A_RUNTIME[need] in target.model.provides


def _with_heads(settings: Settings, target: LocalTarget, clock: Callable[[], float]) -> list[Drafter]:
    """The settings' own heads, else those that ship for a target of that name."""
    if settings.head is not None:
        return [_headed(Path(settings.head), target, settings.support_size, clock)]
    files = sorted(SHIPPED.glob(f"{target.description.name}.*.safetensors"))
    return [_headed(file, target, settings.support_size, clock) for file in files]


def _headed(file: Path, target: LocalTarget, support_size: int, clock: Callable[[], float]) -> Drafter:
    from speculatoviz.drafters.eagle import EagleDrafter
    from speculatoviz.drafters.medusa import MedusaDrafter
    from speculatoviz.heads.eagle import EagleHead
    from speculatoviz.heads.file import load, read
    from speculatoviz.heads.medusa import MedusaHeads
    from speculatoviz.heads.rows import GgufRows

    weights = getattr(target.model, "path", None)
    if weights is None:
        raise HeadError("Heads share the matrices of a GGUF file, and the target has none.", "Choose a GGUF target.")
    kind, tokenizer = read(file).kind, target.tokenizer
    rows = GgufRows(weights, tokenizer.n_vocab)
    head = load(file, kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)
    if kind == "eagle":
        return EagleDrafter(EagleHead(head, rows), target.window, clock, support_size=support_size)
    return MedusaDrafter(MedusaHeads(head, rows), target.window, clock, support_size=support_size)
