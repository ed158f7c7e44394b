"""Makes the drafters that a target and its settings allow, and gives the reason for each one that is missing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from speculatoviz.config import SELF_BY_DEFAULT, Settings
from speculatoviz.core.types import Need
from speculatoviz.drafters.about import DRAFTERS, WITH_MODEL, DrafterName
from speculatoviz.drafters.base import BaseDrafter, Drafter, HeadCard
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.drafters.head import HeadDrafter
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
from speculatoviz.models.libraries import LIBRARIES, is_installed
from speculatoviz.models.window import Window
from speculatoviz.session.prompt_cache import open_prompt_cache
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import NEEDED_OF_A_RUNTIME
from speculatoviz.telemetry.parts import HeadInfo

MODEL_SHARE = 0.8  # of the model's q in a mixture; matches have the rest
SHIPPED = Path(__file__).parents[1] / "heads" / "shipped"


def make_drafters(
    settings: Settings,
    target: Target,
    draft: LanguageModel | None,
    cheaper: LanguageModel | None,
    clock: Callable[[], float],
) -> dict[str, Drafter]:
    """Every drafter that these settings and models allow, by name; drafters made of others come last.

    draft: the draft model. cheaper: a cheaper version of the target, for `selfspec`. clock: seconds. Raises
    VocabularyMismatchError, and HeadError if the file of a head does not fit the target.
    """
    ngram = NgramDrafter(settings.ngram_min, settings.ngram_max)
    suffix = SuffixDrafter(clock, settings.suffix_longest, corpus_tokens=settings.corpus_tokens)
    drafters: list[Drafter] = [ngram, suffix, *_in_the_targets_passes(settings, target, clock)]
    if cheaper is not None:
        size = min(target.context_tokens, cheaper.description.context_tokens)
        own = open_prompt_cache(settings, cheaper)
        drafters.append(SelfDrafter(cheaper, target.tokenizer, size, clock, settings.support_size, prefixes=own))
    if draft is not None:
        drafters.append(_model_drafter(settings, target, draft, clock))
    alone = {drafter.name: drafter for drafter in drafters}
    together = _with_matches(suffix, alone.get("model") or alone.get("eagle"), clock)
    return alone | {drafter.name: drafter for drafter in together}


def _with_matches(suffix: SuffixDrafter, writer: Drafter | None, clock: Callable[[], float]) -> list[Drafter]:
    """Drafters that combine matches with `writer`, the draft model or an EAGLE head; none without such a writer."""
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
    """The drafter of a draft model, translated if its vocabulary is not the target's."""
    kind = ModelDrafter if model.tokenizer.fingerprint == target.tokenizer.fingerprint else TranslatedDrafter
    size = min(target.context_tokens, model.description.context_tokens)
    prefixes = open_prompt_cache(settings, model)
    return kind(model, target.tokenizer, size, clock, settings.support_size, prefixes=prefixes)


def _in_the_targets_passes(settings: Settings, target: Target, clock: Callable[[], float]) -> list[Drafter]:
    """Drafters that read hidden states or probes from the target's own passes: none for a remote target."""
    drafters: list[Drafter] = []
    window = target.window
    if window is None:
        return drafters
    if _gives(window.model, "probes"):
        size, ngram, guesses = settings.lookahead_window, settings.lookahead_ngram, settings.lookahead_guesses
        drafters.append(LookaheadDrafter(size, ngram, guesses))
    if _gives(window.model, "hidden"):
        drafters += _head_drafters(settings, window, clock)
    elif settings.head is not None:
        raise HeadError(f"{target.description.runtime} gives no hidden states.", _on_llamacpp())
    return drafters


def _gives(model: LanguageModel, need: Need) -> bool:
    return NEEDED_OF_A_RUNTIME[need] in model.provides


def _head_drafters(settings: Settings, window: Window, clock: Callable[[], float]) -> list[Drafter]:
    """The drafter of the head that the settings name, else those of the heads that ship for a target of that name."""
    if settings.head is not None:
        return [_head_drafter(Path(settings.head), window, settings.support_size, clock)]
    files = sorted(SHIPPED.glob(f"{window.model.description.name}.*.safetensors"))
    return [_head_drafter(file, window, settings.support_size, clock) for file in files]


def _head_drafter(file: Path, window: Window, support_size: int, clock: Callable[[], float]) -> Drafter:
    from speculatoviz.heads.file import load, read
    from speculatoviz.heads.rows import GgufRows

    weights = window.model.description.gguf
    if weights is None:
        raise HeadError("Heads share the matrices of a GGUF file, and the target has none.", "Choose a GGUF target.")
    kind, tokenizer = read(file).kind, window.model.tokenizer
    rows = GgufRows(weights, tokenizer.n_vocab)
    head = load(file, kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)
    drafter: HeadDrafter
    if kind == "eagle":
        drafter = EagleDrafter(EagleHead(head, rows), window, clock, support_size=support_size)
    else:
        drafter = MedusaDrafter(MedusaHeads(head, rows), window, clock, support_size=support_size)
    drafter.card = head_card(file.name, head.card)
    return drafter


def head_card(file: str, card: Mapping[str, Any]) -> HeadCard | None:
    """What a run can be compared with, of the card of a head; None if it states no acceptance by position."""
    stated = card.get("held_out_conditional")
    if not isinstance(stated, list) or not stated:
        return None
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in stated):
        return None
    depth = card.get("trained_depth")
    trained = depth if isinstance(depth, int) and depth > 0 else len(stated)
    return HeadCard(file, tuple(float(share) for share in stated), trained)


def head_cards(drafters: Mapping[str, Drafter]) -> list[HeadInfo]:
    """The cards of the drafters that have one."""
    cards = {name: drafter.card for name, drafter in drafters.items() if isinstance(drafter, BaseDrafter)}
    return [
        HeadInfo(drafter=name, file=card.file, acceptance=list(card.acceptance), depth=card.depth)
        for name, card in cards.items()
        if card is not None
    ]


# --- missing drafters -----------------------------------------------------------------------------------


class Missing(NamedTuple):
    """A reason, as a clause, and what to do about it, as a sentence."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.why[:1].upper()}{self.why[1:]}. {self.remedy}"


_REMOTE = {
    "lookahead": "it computes guesses in the target's passes, and a remote target does not take them",
    "medusa": "its heads read the target's hidden states, and a remote target does not send them",
    "eagle": "its head reads the target's hidden states, and a remote target does not send them",
    "selfspec": "it needs the target's weights, and those of a remote target are not on this machine",
}


def missing(settings: Settings, target: Target, present: Container[str]) -> dict[str, Missing]:
    """The reason for each drafter that is not in `present`, the names that `make_drafters` returned."""
    return {name: _why_missing(name, settings, target) for name in DRAFTERS if name not in present}


def _why_missing(name: DrafterName, settings: Settings, target: Target) -> Missing:
    """The reason for one name. `ngram` and `suffix` are never missing."""
    if name in WITH_MODEL:
        other = " and there is no EAGLE head" if name != "model" else ""
        return Missing(f"no draft model is loaded{other}", "Start with `--draft NAME`.")
    if target.window is None:
        return Missing(_REMOTE[name], "Load the target on this machine, with `--target NAME`.")
    model, runtime = target.window.model, target.description.runtime
    if name == "lookahead":
        return Missing(f"the target runs on {runtime}, which computes no trees", "Load it with llama.cpp.")
    if name == "selfspec":
        if model.description.gguf is None:
            return Missing("a cheaper version can only be made of a GGUF file", "Choose a GGUF target.")
        return Missing("no cheaper version of the target is loaded", f"Start with `--selfspec {SELF_BY_DEFAULT}`.")
    return _why_no_head(name, settings, model)


def _on_llamacpp() -> str:
    """What makes llama.cpp, which gives hidden states, load a GGUF target."""
    if is_installed("llamacpp"):
        return "Load it with llama.cpp: start with `--runtime llamacpp`."
    return f"Run `pip install {LIBRARIES['llamacpp'].install}`, and start again: llama.cpp gives them."


def _why_no_head(name: str, settings: Settings, model: LanguageModel) -> Missing:
    if not _gives(model, "hidden"):
        runtime = model.description.runtime
        return Missing(f"the target runs on {runtime}, which gives no hidden states", _on_llamacpp())
    if model.description.gguf is None:
        return Missing("heads share the matrices of a GGUF file, and the target has none", "Choose a GGUF target.")
    given = settings.head is not None
    why = f"the file of --head holds no {name} head" if given else "there is no trained head for this target"
    file, of = f"{name}.safetensors", shlex.quote(settings.resolved().target)
    command = f"speculatoviz train {name} --target {of} --out {file}"
    return Missing(why, f"Train one with `{command}`, and start with `--head {file}`.")
