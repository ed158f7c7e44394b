"""Makes the drafters that a target and its settings allow, and gives the reason for each one that is missing."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Container
from typing import NamedTuple

from speculatoviz.config import SELF_BY_DEFAULT, Settings
from speculatoviz.core.types import Need
from speculatoviz.drafters.about import DRAFTERS, WITH_MODEL, DrafterName
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.selfspec import ExitDrafter, SelfDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.models.base import IN_WORDS, LanguageModel, LayeredModel, MtpModel
from speculatoviz.models.files.names import RUNTIMES
from speculatoviz.models.libraries import LIBRARIES, is_installed
from speculatoviz.models.load import exit_layers
from speculatoviz.models.shared_window import EarlyExitModel
from speculatoviz.models.turns import Turns
from speculatoviz.models.window import Window
from speculatoviz.session.heads import is_published, next_token_layer, published_head, trained_heads
from speculatoviz.session.shared import Shared
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import NEEDED_OF_A_RUNTIME

log = logging.getLogger(__name__)
MODEL_SHARE = 0.8  # of the model's q in a mixture; matches have the rest


def make_drafters(
    settings: Settings,
    target: Target,
    draft: LanguageModel | None,
    cheaper: LanguageModel | None,
    clock: Callable[[], float],
    shared: Shared | None = None,
) -> dict[str, Drafter]:
    """Every drafter that these settings and models allow, by name; drafters made of others come last.

    draft: the draft model. cheaper: a cheaper version of the target, for `selfspec`. clock: seconds. shared: with the
    drafters of other runs at the same time. Raises VocabularyMismatchError, and HeadError if the file of a head does
    not fit the target.
    """
    shared = shared or Shared(settings, Turns(clock))
    ngram = NgramDrafter(settings.ngram_min, settings.ngram_max)
    suffix = SuffixDrafter(clock, settings.suffix_longest, corpus_tokens=settings.corpus_tokens)
    drafters: list[Drafter] = [ngram, suffix, *_in_the_targets_passes(settings, target, clock, shared)]
    if cheaper is not None:
        drafters.append(_drafting(SelfDrafter, cheaper, settings, target, clock, shared))
    elif target.window is not None and settings.selfspec and (first := exit_layers(settings.selfspec)) is not None:
        drafters.append(_exit_drafter(settings, target.window, first, clock))
    if draft is not None:
        same = draft.tokenizer.fingerprint == target.tokenizer.fingerprint
        kind = ModelDrafter if same else TranslatedDrafter
        drafters.append(_drafting(kind, draft, settings, target, clock, shared))
    alone = {drafter.name: drafter for drafter in drafters}
    writers = (alone.get(name) for name in ("model", "dflash", "eagle3", "p-eagle", "eagle"))
    together = _with_matches(suffix, next((writer for writer in writers if writer is not None), None), clock)
    return alone | {drafter.name: drafter for drafter in together}


def _exit_drafter(settings: Settings, window: Window, first: int, clock: Callable[[], float]) -> Drafter:
    """The target's first layers, in its own cells."""
    model = window.model
    if not isinstance(model, EarlyExitModel):
        raise ModelError(
            f"The first layers of {model.description.name} cannot be computed alone on {model.description.runtime}.",
            "Load the target with transformers (hf: before its name) or as a GGUF file, or choose another drafter.",
        )
    layers = model.first_layers(first, window.context)
    return ExitDrafter(layers, model.tokenizer, window, clock, settings.support_size)


def _with_matches(suffix: SuffixDrafter, writer: Drafter | None, clock: Callable[[], float]) -> list[Drafter]:
    """Drafters that combine matches with `writer`, the draft model or a head; none without such a writer."""
    if not isinstance(writer, ModelDrafter | HeadDrafter):
        return []
    return [
        MixtureDrafter([(MODEL_SHARE, writer), (1.0 - MODEL_SHARE, suffix)], clock),
        MultiDrafter([suffix, writer]),
        HybridDrafter([suffix], writer),
    ]


def _drafting(
    kind: type[ModelDrafter],
    model: LanguageModel,
    settings: Settings,
    target: Target,
    clock: Callable[[], float],
    shared: Shared,
) -> ModelDrafter:
    """The drafter of a model, with a context of its own."""
    sizes = (target.context_tokens, model.description.context_tokens, settings.context_tokens)
    size, prefixes = min(sizes), shared.prefixes(model)  # a model may have room for several contexts
    return kind(model, target.tokenizer, size, clock, settings.support_size, prefixes=prefixes, passes=shared.turns)


def _in_the_targets_passes(
    settings: Settings, target: Target, clock: Callable[[], float], shared: Shared
) -> list[Drafter]:
    """Drafters that read hidden states or probes from the target's own passes: none for a remote target."""
    drafters: list[Drafter] = []
    window = target.window
    if window is None:
        return drafters
    if _gives(window.model, "probes"):
        size, ngram, guesses = settings.lookahead_window, settings.lookahead_ngram, settings.lookahead_guesses
        drafters.append(LookaheadDrafter(size, ngram, guesses))
    of_heads = _of_heads(settings, target, window, clock, shared)
    return [*drafters, *of_heads, *_of_own_layers(settings, window, clock)]


def _of_heads(
    settings: Settings, target: Target, window: Window, clock: Callable[[], float], shared: Shared
) -> list[Drafter]:
    need: Need = "layers" if is_published(settings.head) else "hidden"
    if _gives(window.model, need):
        own = settings if need == "hidden" else settings.model_copy(update={"head": None})
        shipped = trained_heads(own, window, clock, shared.heads) if _gives(window.model, "hidden") else []
        return [*shipped, *([published_head(settings, window, clock)] if need == "layers" else [])]
    if settings.head is not None:
        what = IN_WORDS[NEEDED_OF_A_RUNTIME[need]]
        raise HeadError(f"{target.description.runtime} gives no {what}.", _on_llamacpp())
    return []


def _of_own_layers(settings: Settings, window: Window, clock: Callable[[], float]) -> list[Drafter]:
    """The drafter of a layer that the target carries for it."""
    if not isinstance(window.model, MtpModel) or not window.model.mtp_layers:
        return []
    try:
        return [next_token_layer(settings, window, clock)]
    except ModelError as error:  # the target decodes without it
        log.warning("mtp does not draft: %s %s", error.message, error.hint)
        return []


def _gives(model: LanguageModel, need: Need) -> bool:
    return NEEDED_OF_A_RUNTIME[need] in model.provides


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
    "eagle3": "its head reads inner layers of the target, and a remote target does not send their inputs",
    "p-eagle": "its head reads inner layers of the target, and a remote target does not send their inputs",
    "dflash": "its head reads inner layers of the target, and a remote target does not send their inputs",
    "mtp": "its layer reads the target's hidden states, and a remote target does not send them",
    "selfspec": "it needs the target's weights, and those of a remote target are not on this machine",
}


def missing(settings: Settings, target: Target, present: Container[str]) -> dict[str, Missing]:
    """The reason for each drafter that is not in `present`, the names that `make_drafters` returned."""
    return {name: _why_missing(name, settings, target) for name in DRAFTERS if name not in present}


def _why_missing(name: DrafterName, settings: Settings, target: Target) -> Missing:
    """The reason for one name. `ngram` and `suffix` are never missing."""
    if name in WITH_MODEL:
        other = " and there is no EAGLE or DFlash head" if name != "model" else ""
        return Missing(f"no draft model is loaded{other}", "Start with `--draft NAME`.")
    if target.window is None:
        return Missing(_REMOTE[name], "Load the target on this machine, with `--target NAME`.")
    model, runtime = target.window.model, target.description.runtime
    if name == "lookahead":
        remedy = "Choose a target without recurrent layers, and load it with llama.cpp."
        return Missing(f"no trees are computed for this target on {runtime}", remedy)
    if name == "mtp":
        return Missing(
            "the target carries no next-token layer that llama.cpp computes", "Choose a Qwen3.5 file with one."
        )
    return _why_no_part(model) if name == "selfspec" else _why_no_head(name, settings, model)


def _why_no_part(model: LanguageModel) -> Missing:
    if isinstance(model, EarlyExitModel):
        remedy = "Start with `--selfspec first:N`, with the number N of its first layers that draft."
        return Missing("no part of the target is set to draft", remedy)
    if model.description.gguf is None:
        return Missing("a cheaper version can only be made of a GGUF file", "Choose a GGUF target.")
    return Missing("no cheaper version of the target is loaded", f"Start with `--selfspec {SELF_BY_DEFAULT}`.")


def _on_llamacpp() -> str:
    """What makes llama.cpp, which gives hidden states, load a GGUF target."""
    if is_installed("llamacpp"):
        return "Load it with llama.cpp: start with `--runtime llamacpp`."
    return f"Run `pip install {LIBRARIES['llamacpp'].install}`, and start again: llama.cpp gives them."


def _why_no_head(name: str, settings: Settings, model: LanguageModel) -> Missing:
    if name in _PUBLISHED:
        return _why_no_published_head(_PUBLISHED[name], settings, model)
    if not _gives(model, "hidden"):
        runtime = model.description.runtime
        if runtime == RUNTIMES["ik"] and is_installed("llamacpp"):
            why = f"{runtime} gives hidden states only if a head drafts from the start, as reading them takes time"
            return Missing(why, f"Start with `--drafter {name}`, or with `--runtime llamacpp`.")
        return Missing(f"the target runs on {runtime}, which gives no hidden states", _on_llamacpp())
    if model.description.gguf is None:
        return Missing("heads share the matrices of a GGUF file, and the target has none", "Choose a GGUF target.")
    if not is_installed("llamacpp"):
        install = f"Run `pip install {LIBRARIES['llamacpp'].install}`, and start again."
        return Missing("llama.cpp, whose kernels compute heads, is not installed", install)
    given = settings.head is not None
    why = f"the file of --head holds no {name} head" if given else "there is no trained head for this target"
    file, of = f"{name}.safetensors", shlex.quote(settings.resolved().target)
    command = f"speculatoviz train {name} --target {of} --out {file}"
    return Missing(why, f"Train one with `{command}`, and start with `--head {file}`.")


_PUBLISHED = {"eagle3": "EAGLE-3", "p-eagle": "P-EAGLE", "dflash": "DFlash"}
_TRAINED = {"EAGLE-3": "eagle3", "P-EAGLE": "p-eagle"}  # by `speculatoviz train`


def _why_no_published_head(kind: str, settings: Settings, model: LanguageModel) -> Missing:
    runtime = model.description.runtime
    # Not whether it gives them now: of some architectures llama.cpp does so only if a head is named at the start.
    if isinstance(model, LayeredModel) and model.layer_count:
        named = is_published(settings.head)
        why = f"the head that is named is no {kind} head" if named else f"no {kind} head is named"
        start = "Start with `--head hf:OWNER/NAME`, or with the head's folder or GGUF file."
        trained = _TRAINED.get(kind)
        return Missing(why, f"{start} `speculatoviz train {trained}` trains one." if trained else start)
    return Missing(f"the target runs on {runtime}, which gives no {IN_WORDS['layers']}", _on_llamacpp())
