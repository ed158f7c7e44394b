"""The targets that a race may use beside the server's own: which they are, and how one is loaded for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.config import PROFILES, Profile, Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError
from speculatoviz.machine import available_bytes
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.download import cached
from speculatoviz.models.files.names import parse
from speculatoviz.models.files.source import is_file, is_folder, local_path
from speculatoviz.models.load import gguf_file
from speculatoviz.session.places import cache_bytes
from speculatoviz.session.session import Session
from speculatoviz.session.targets import is_remote, loading_options
from speculatoviz.targets.names import without_credentials

_WITH_TYPE = re.compile(r"(?P<name>.+):(?P<type>B?F\d+|I?Q\d\w*)")
_NEED_NOTHING = ("ngram", "suffix")  # drafters that every target has
_OVERHEAD = 1.1  # of weights and cache: buffers of a pass
_GIB = 1 << 30
_HERE = "Name a model of the catalogue, or the path of one on this machine."

# What belongs to the server's own target alone. Another one has the defaults of its profile.
_OF_OWN_TARGET = (
    *("target_tokenizer", "target_mode", "target_api_key", "chat_template", "stop_tokens", "draft", "head", "selfspec"),
    *("target_quantisation", "draft_quantisation", "draft_vocabulary", "drafter", "policy", "k", "nodes"),
    *("prompt_cache", "concurrency", "record_depth"),
)


class NoRoomError(ModelError):
    """There is not enough memory for a target beside what is loaded."""


@dataclass(frozen=True, slots=True)
class OtherTarget:
    """A target that a race can name. missing: why it cannot be loaded here, and what to do; None if it can.

    name: a model's name, with `:TYPE` after it if it is requantised. drafters: those that it has for certain.
    """

    name: str
    title: str
    settings: Settings
    drafters: tuple[str, ...]
    missing: str | None


def other_targets(settings: Settings) -> tuple[OtherTarget, ...]:
    """The targets of `race_targets`, without the server's own. By default those of the catalogue."""
    asked = settings.race_targets
    if asked == "none":
        return ()
    names = list(CATALOGUE) if asked is None else [name.strip() for name in asked.split(",") if name.strip()]
    found = (_other(settings, name) for name in dict.fromkeys(names))
    own = settings.resolved()
    return tuple(other for other in found if not _same(other.settings.resolved(), own))


def load_other(other: OtherTarget, clock: Callable[[], float], progress: Progress) -> Session:
    """Load and measure a target of the list beside what is loaded. Nothing is fetched from a network.

    clock: seconds. Raises ModelError, also if its files are not here, and NoRoomError.
    """
    missing = _missing(other.settings)
    if missing is not None:
        raise ModelError(f"{other.name} cannot be loaded: {missing[0]}.", missing[1])
    require_memory(other, progress)
    try:
        return Session.load(other.settings, clock, progress)
    except MemoryError as error:
        raise NoRoomError(
            f"There is not enough memory for {other.name} beside the server's own target.",
            "Choose a smaller target, or end other programs.",
        ) from error


def require_memory(other: OtherTarget, progress: Progress) -> None:
    """Raises NoRoomError if weights and caches of a target and its draft model do not fit into the free memory."""
    free, need = available_bytes(), _needed_bytes(other.settings, progress)
    if free is not None and need > free:
        raise NoRoomError(
            f"{other.name} needs about {need / _GIB:.1f} GiB of memory beside the server's own target, and "
            f"{free / _GIB:.1f} GiB are free.",
            "Choose a smaller target, or end other programs.",
        )


def _same(one: Profile, other: Profile) -> bool:
    return (one.target, one.target_quantisation) == (other.target, other.target_quantisation)


def _other(settings: Settings, name: str) -> OtherTarget:
    typed = _WITH_TYPE.fullmatch(name)
    model, quantisation = (typed["name"], typed["type"]) if typed else (name, None)
    own = Settings.model_fields
    changed = {field: own[field].get_default(call_default_factory=True) for field in _OF_OWN_TARGET}
    profile = next((p for p in PROFILES.values() if p.target == model), None)
    chosen = {"target": model, "target_quantisation": quantisation, "race_targets": "none"}
    if profile is not None:
        chosen["profile"] = profile.name
    there = settings.model_copy(update=changed | chosen)
    writer = there.resolved().drafter
    missing = _missing(there)
    entry = CATALOGUE.get(model)
    version = quantisation or (None if entry is None else entry.quantisation)
    short = model.rsplit("/", 1)[-1].removesuffix(".gguf").removesuffix("-instruct")
    title = short if version is None else f"{short}, {version}"
    drafters = tuple(dict.fromkeys((writer, *_NEED_NOTHING)))
    if is_remote(model):
        name = title = without_credentials(name)
    return OtherTarget(name, title, there, drafters, None if missing is None else _sentences(*missing))


def _sentences(why: str, remedy: str) -> str:
    return f"{why[:1].upper()}{why[1:]}. {remedy}"


def _missing(settings: Settings) -> tuple[str, str] | None:
    """Why the models of the settings cannot be loaded from this machine, as a clause, and what to do, as a sentence."""
    pair = settings.resolved()
    if is_remote(pair.target):
        return "it is remote", _HERE
    for name in (pair.target, pair.draft):
        if name is None or name.startswith("toy:"):
            continue
        try:
            place = parse(name).place
        except ModelError:
            return f"there is no {name} on this machine", _HERE
        if place in CATALOGUE:
            if cached(CATALOGUE[place], settings.cache_dir) is None:
                return (
                    f"{place} is not downloaded",
                    f"Run `speculatoviz models pull {place}`, and start the server again.",
                )
        elif not (is_file(local_path(place)) or is_folder(local_path(place))):
            return f"there is no {place} on this machine", _HERE
    return None


def _needed_bytes(settings: Settings, progress: Progress) -> int:
    """The memory that target and draft model take, with a context each; 0 for what is not known."""
    pair = settings.resolved()
    models = [(pair.target, pair.target_quantisation), (pair.draft, None)]
    named = [(name, quantisation) for name, quantisation in models if name is not None and not name.startswith("toy:")]
    weights = sum(_weight_bytes(settings, name, quantisation, progress) for name, quantisation in named)
    caches = sum(cache_bytes(settings, name, progress) for name, _ in named) * settings.context_tokens
    return int(_OVERHEAD * (weights + caches))


def _weight_bytes(settings: Settings, name: str, quantisation: str | None, progress: Progress) -> int:
    how = loading_options(settings)
    parsed = parse(name, how.runtime)
    if parsed.is_gguf:
        return gguf_file(parsed, how, quantisation, lambda stage, _done, _whole: progress(stage, None)).stat().st_size
    folder = Path(local_path(parsed.place))
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
