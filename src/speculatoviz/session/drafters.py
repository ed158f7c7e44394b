"""The drafters that there are for a target, by name, and why there are no others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple

from speculatoviz.config import SELF_BY_DEFAULT, Settings
from speculatoviz.core.types import Need
from speculatoviz.drafters.about import DRAFTERS, WITH_MODEL, DrafterName
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.medusa import MedusaDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.selfspec import SelfDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.errors import HeadError
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.models.base import LanguageModel
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import NEEDED_OF_A_RUNTIME, LocalTarget

MODEL_SHARE = 0.8  # of a mixture: what a match adds to a model's opinion
SHIPPED = Path(__file__).parents[1] / "heads" / "shipped"


def lineup(
    settings: Settings,
    target: Target,
    draft: LanguageModel | None,
    cheaper: LanguageModel | None,
    clock: Callable[[], float],
) -> dict[str, Drafter]:
    """Every drafter that these settings and models allow, those that stand alone before those made of others.

    cheaper: a version of the target. clock: seconds. Raises VocabularyMismatchError, and HeadError for a file of
    heads that does not fit the target.
    """
    ngram = NgramDrafter(settings.ngram_min, settings.ngram_max)
    suffix = SuffixDrafter(clock, settings.suffix_longest, corpus_tokens=settings.corpus_tokens)
    drafters: list[Drafter] = [ngram, suffix, *_of_the_target(settings, target, clock)]
    if cheaper is not None:
        size = min(target.context_tokens, cheaper.description.context_tokens)
        drafters.append(SelfDrafter(cheaper, target.tokenizer, size, clock, settings.support_size))
    if draft is not None:
        drafters.append(_model_drafter(settings, target, draft, clock))
    alone = {drafter.name: drafter for drafter in drafters}
    together = _with_matches(suffix, alone.get("model") or alone.get("eagle"), clock)
    return alone | {drafter.name: drafter for drafter in together}


def _with_matches(suffix: SuffixDrafter, writer: Drafter | None, clock: Callable[[], float]) -> list[Drafter]:
    """Matches in the text beside one that writes: the draft model, or a head where there is none."""
    if not isinstance(writer, ModelDrafter | EagleDrafter):
        return []
    return [
        MixtureDrafter([(MODEL_SHARE, writer), (1.0 - MODEL_SHARE, suffix)], clock),
        MultiDrafter([suffix, writer]),
        HybridDrafter([suffix], writer),
    ]


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
    from speculatoviz.heads.file import load, read
    from speculatoviz.heads.rows import GgufRows

    weights = _gguf(target)
    if weights is None:
        raise HeadError("Heads share the matrices of a GGUF file, and the target has none.", "Choose a GGUF target.")
    kind, tokenizer = read(file).kind, target.tokenizer
    rows = GgufRows(weights, tokenizer.n_vocab)
    head = load(file, kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)
    if kind == "eagle":
        return EagleDrafter(EagleHead(head, rows), target.window, clock, support_size=support_size)
    return MedusaDrafter(MedusaHeads(head, rows), target.window, clock, support_size=support_size)


def _gguf(target: LocalTarget) -> Path | None:
    """The file of a target that was loaded from one."""
    path: Path | None = getattr(target.model, "path", None)
    return path


# --- why there are no others ---------------------------------------------------------------------------


class Missing(NamedTuple):
    """Why there is no drafter of a name, as a clause, and what to do about it, as a sentence."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.why[:1].upper()}{self.why[1:]}. {self.remedy}"


_ELSEWHERE = {
    "lookahead": "its guesses ride along in the target's passes, and those of a target elsewhere are not shared",
    "medusa": "its heads read the target's hidden states, and those of a target elsewhere do not travel",
    "eagle": "its head reads the target's hidden states, and those of a target elsewhere do not travel",
    "selfspec": "the weights of a target elsewhere are not here to make a cheaper version of",
}


def missing(settings: Settings, target: Target, present: Container[str]) -> dict[str, Missing]:
    """Why each other drafter is not among those that `lineup` gave for these settings and this target."""
    return {name: _why_missing(name, settings, target) for name in DRAFTERS if name not in present}


def _why_missing(name: DrafterName, settings: Settings, target: Target) -> Missing:
    """Of those that may be missing: matches in the text are always looked for."""
    if name in WITH_MODEL:
        other = " and there is no EAGLE head" if name != "model" else ""
        return Missing(f"no draft model is loaded{other}", "Start with `--draft NAME`.")
    if not isinstance(target, LocalTarget):
        return Missing(_ELSEWHERE[name], "Load the target here, with `--target NAME`.")
    runtime = target.description.runtime
    if name == "lookahead":
        return Missing(f"the target runs on {runtime}, which takes no trees of it", "Load it with llama.cpp.")
    if name == "selfspec":
        if _gguf(target) is None:
            return Missing("only a GGUF file has a cheaper version to be made of it", "Choose a GGUF target.")
        return Missing("no cheaper version of the target is loaded", f"Start with `--selfspec {SELF_BY_DEFAULT}`.")
    return _why_no_head(name, settings, target)


def _why_no_head(name: str, settings: Settings, target: LocalTarget) -> Missing:
    if not _gives(target, "hidden"):
        runtime = target.description.runtime
        return Missing(f"the target runs on {runtime}, which gives no hidden states", "Load it with llama.cpp.")
    if _gguf(target) is None:
        return Missing("heads share the matrices of a GGUF file, and the target has none", "Choose a GGUF target.")
    given = settings.head is not None
    why = f"the file of --head holds no {name} head" if given else "there is no trained head for this target"
    file, of = f"{name}.safetensors", shlex.quote(settings.resolved().target)
    order = f"speculatoviz train {name} --target {of} --out {file}"
    return Missing(why, f"Train one with `{order}`, and start with `--head {file}`.")
