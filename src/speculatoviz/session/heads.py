"""Loads the heads that draft from the states of a target in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speculatoviz.config import Settings
from speculatoviz.drafters.base import BaseDrafter, Drafter, HeadCard
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.drafters.medusa import MedusaDrafter
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.heads.states import LayerInputs
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, LayeredModel
from speculatoviz.models.files.names import ModelName, locate, parse
from speculatoviz.models.files.source import is_folder, local_path
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.libraries import not_installed
from speculatoviz.models.runtimes.ggml import kernels
from speculatoviz.models.window import Window
from speculatoviz.telemetry.parts import HeadInfo

if TYPE_CHECKING:
    from speculatoviz.heads.gguf_head import HeadTarget
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

log = logging.getLogger(__name__)
LoadedHead = tuple[EagleHead | MedusaHeads, HeadCard | None]  # the weights, which several drafters can read
SHIPPED = Path(__file__).parents[1] / "heads" / "shipped"
_HUB = "hf:"


def is_published(head: str | None) -> bool:
    """Whether the name of a head stands for a published one: hf:OWNER/NAME, a folder, or a GGUF file."""
    if head is None:
        return False
    return head.startswith(_HUB) or head.endswith(".gguf") or is_folder(local_path(head))


def check_head(name: str | None) -> None:
    """Before models are loaded: raises HeadError if the settings name a head that is not there."""
    if name is None or name.startswith(_HUB) or local_path(name).exists():
        return
    raise HeadError(
        f"There is no head {name}.",
        "Name a file (.safetensors or .gguf) or a folder that is there with --head, or hf:OWNER/NAME.",
    )


def trained_heads(
    settings: Settings, window: Window, clock: Callable[[], float], loaded: dict[Path, LoadedHead]
) -> list[Drafter]:
    """The drafter of the head that the settings name, else those of the heads that ship for a target of that name.

    They read hidden states, and llama.cpp's kernels compute them. loaded: heads by file; those that are loaded now are
    added. Raises HeadError for a file that does not fit the target, or if llama.cpp is not installed and a file is
    named; without a named file there are no drafters then.
    """
    named = None if settings.head is None else Path(settings.head)
    files = sorted(SHIPPED.glob(f"{window.model.description.name}.*.safetensors")) if named is None else [named]
    try:
        if files:
            kernels()
    except ModelError as error:
        if named is not None:
            raise HeadError(error.message, error.hint) from error
        log.info("eagle and medusa do not draft: %s %s", error.message, error.hint)
        return []
    return [_trained(file, window, settings, clock, loaded) for file in files]


def _trained(
    file: Path, window: Window, settings: Settings, clock: Callable[[], float], loaded: dict[Path, LoadedHead]
) -> Drafter:
    if file not in loaded:
        loaded[file] = _load(file, window, settings.threads or usable_cores())
    head, card = loaded[file]
    drafter: HeadDrafter
    if isinstance(head, EagleHead):
        drafter = EagleDrafter(head, window, clock, support_size=settings.support_size)
    else:
        drafter = MedusaDrafter(head, window, clock, support_size=settings.support_size)
    drafter.card = card
    return drafter


def _load(file: Path, window: Window, threads: int) -> LoadedHead:
    from speculatoviz.heads.file import load, read
    from speculatoviz.heads.rows import GgufRows

    weights = window.model.description.gguf
    if weights is None:
        raise HeadError("Heads share the matrices of a GGUF file, and the target has none.", "Choose a GGUF target.")
    kind, tokenizer = read(file).kind, window.model.tokenizer
    rows = GgufRows(weights, tokenizer.n_vocab)
    head = load(file, kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)
    weighed = EagleHead(head, rows, threads) if kind == "eagle" else MedusaHeads(head, rows, threads)
    return weighed, head_card(file.name, head.card)


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


def next_token_layer(settings: Settings, window: Window, clock: Callable[[], float]) -> Drafter:
    """The drafter of the next-token layer of a target on llama.cpp that carries one. Raises ModelError."""
    from speculatoviz.drafters.mtp import MtpDrafter
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
    from speculatoviz.models.runtimes.llamacpp_mtp import LlamaCppMtp

    assert isinstance(window.model, LlamaCppModel)
    size = window.context.size
    graph = LlamaCppMtp(window.model, size)
    return MtpDrafter(graph, window, graph.vocabulary, size, clock, support_size=settings.support_size)


def published_head(settings: Settings, window: Window, clock: Callable[[], float]) -> Drafter:
    """The drafter of the published head that the settings name; the layers it reads are recorded from now on.

    window.model gives the inputs of its layers. Raises HeadError if there is no such head, it does not fit the target,
    or llama.cpp, which computes it, is not installed.
    """
    try:
        from speculatoviz.models.runtimes.llamacpp_head import require_extension
    except ImportError as error:
        missing = not_installed("llamacpp", error)
        raise HeadError(missing.message, missing.hint) from error
    from speculatoviz.heads import conversion, dflash_file, dflash_published, gguf_head

    model, name = window.model, settings.head or ""
    assert isinstance(model, LayeredModel)
    target = gguf_head.HeadTarget(model.description.name, model.layer_count, model.layer_width, model.tokenizer.n_vocab)
    try:
        require_extension(name)
        path = _fetched(name, settings.cache_dir)
        if path.is_dir():
            blocks = dflash_published.is_dflash(conversion.head_config(path))
        else:
            blocks = gguf_head.open_head(path).architecture == dflash_file.ARCHITECTURE
        return (_dflash if blocks else _eagle3)(path, target, settings, window, clock)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error


def _eagle3(path: Path, target: HeadTarget, settings: Settings, window: Window, clock: Callable[[], float]) -> Drafter:
    from speculatoviz.drafters.eagle3 import Eagle3Drafter
    from speculatoviz.drafters.p_eagle import PEagleDrafter
    from speculatoviz.heads import eagle3_file, eagle3_published
    from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3

    card: HeadCard | None = None
    if path.is_dir():
        card = _stated(path, target.name, window.model.tokenizer.fingerprint)
        path = eagle3_published.converted(path, target, settings.cache_dir)
    file, size = eagle3_file.read_gguf(path, target), window.context.size
    shared = _shared(window.model, settings) if file.shares else None
    graph = LlamaCppEagle3(file.path, file.vocabulary, size, settings.threads or usable_cores(), shared)
    window.read_layers(file.layers)
    states, ids, masks = LayerInputs(window), file.vocabulary, file.masks
    drafter: HeadDrafter
    if masks is None:
        drafter = Eagle3Drafter(graph, states, ids, size, clock, support_size=settings.support_size)
    else:
        drafter = PEagleDrafter(graph, states, ids, masks, size, clock, support_size=settings.support_size)
    drafter.card = card
    return drafter


def _stated(folder: Path, target: str, fingerprint: str) -> HeadCard | None:
    """The card of a head that was trained here; None for others.

    Warns if the head names another target. Raises HeadError if it was trained for another vocabulary.
    """
    from speculatoviz.heads import conversion, eagle3_folder

    own = eagle3_folder.trained(folder)
    _compare_names(own.target if own else conversion.target_name(folder), target)
    if own is None:
        return None
    eagle3_folder.check_fingerprint(folder.name, own, fingerprint)
    return head_card(folder.name, own.card)


def _dflash(path: Path, target: HeadTarget, settings: Settings, window: Window, clock: Callable[[], float]) -> Drafter:
    from speculatoviz.drafters.dflash import DflashDrafter
    from speculatoviz.heads import conversion, dflash_file, dflash_published
    from speculatoviz.models.runtimes.llamacpp_dflash import LlamaCppDflash

    if path.is_dir():
        _compare_names(conversion.target_name(path), target.name)
        path = dflash_published.converted(path, target, settings.cache_dir)
    file, size = dflash_file.read_gguf(path, target), window.context.size
    shared = _shared(window.model, settings) if file.shares else None
    graph = LlamaCppDflash(file.path, file.vocabulary, file.places, size, settings.threads or usable_cores(), shared)
    window.read_layers(file.layers)
    states = LayerInputs(window)
    return DflashDrafter(graph, states, file.vocabulary, size, clock, support_size=settings.support_size)


def _fetched(head: str, cache_dir: str) -> Path:
    """The GGUF file or the folder of a head, downloaded first if need be. Raises ModelError."""
    if head.startswith(_HUB) and head.endswith(".gguf"):
        return locate(parse(f"llamacpp:{head.removeprefix(_HUB)}"), cache_dir, lambda *_: None)
    if head.endswith(".gguf"):
        return local_path(head)
    return locate(ModelName("hf", head.removeprefix(_HUB)), cache_dir, lambda *_: None)


def _shared(model: LanguageModel, settings: Settings) -> LlamaCppModel | Path:
    """The model on llama.cpp whose matrices a head uses, or the GGUF file of a target on another runtime.

    Raises HeadError if the target has no file that llama.cpp loads.
    """
    from speculatoviz.models.invariant import InvariantModel
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

    own = model.computing if isinstance(model, InvariantModel) else model
    if isinstance(own, LlamaCppModel):
        return own
    path = own.description.gguf
    if path is None:
        raise HeadError(
            f"{settings.head} has no embeddings of its own, and shares those of a GGUF file only.",
            "Load the target from a GGUF file, or choose a head that has its own.",
        )
    require_loadable(path, Path(settings.cache_dir), "llamacpp")
    return path


def _compare_names(trained_for: str | None, target: str) -> None:
    """Warn if a head names another target than the one it is used for: their numbers can fit all the same."""
    if trained_for is None:
        return
    wanted, own = (name.rpartition("/")[2].lower().replace("_", "-") for name in (trained_for, target))
    if wanted not in own and own not in wanted:
        log.warning(
            "The head was trained for %s, and the target is %s: few tokens may be accepted.", trained_for, target
        )
