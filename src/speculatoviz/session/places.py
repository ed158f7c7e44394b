"""Runs at the same time: how many there are, and the place of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from speculatoviz.config import PROFILES, Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import ContextFullError, ModelError, TargetError
from speculatoviz.machine import available_bytes
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import OF_GGUF, parse
from speculatoviz.models.load import gguf_file
from speculatoviz.models.window import Window
from speculatoviz.session.drafters import make_drafters
from speculatoviz.session.shared import Place, Shared
from speculatoviz.session.targets import is_remote, loading_options
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import LocalTarget

_MEMORY_SHARE = 0.25  # of the memory that is free, for the contexts of runs at the same time
_VALUE_BYTES = 2  # of a key or a value in a KV cache
_OF_A_VERIFIER = 4  # runs that use a verifier at the same time, at most, if nobody asks for a number

log = logging.getLogger(__name__)


def concurrency(settings: Settings, progress: Progress) -> int:
    """How many runs a server computes at the same time: as the settings ask, or as suits profile and memory.

    progress: of fetching the files, whose headers are read. One run at a time uses an endpoint of others, whose costs
    and rate limits are not known, unless more are asked for. Raises ModelError.
    """
    pair, asked = settings.resolved(), settings.concurrency
    if asked is not None:
        return asked
    remote = is_remote(pair.target)
    if remote and not pair.target.startswith("verifier:"):
        return 1
    if settings.batch_invariant:  # it computes each context in a pass and a cache of its own
        return 1
    suited = _OF_A_VERIFIER if remote else PROFILES[settings.profile].concurrency
    loaded = (None if remote else pair.target, pair.draft)
    per_token = sum(cache_bytes(settings, name, progress) for name in loaded if name is not None)
    free = available_bytes()
    if not per_token or free is None:
        return suited
    return max(1, min(suited, int(_MEMORY_SHARE * free) // (per_token * settings.context_tokens)))


def cache_bytes(settings: Settings, name: str, progress: Progress) -> int:
    """The bytes of a token in the KV cache of a GGUF model; 0 if they are not known."""
    if name.startswith("toy:"):
        return 0
    how = loading_options(settings)
    parsed = parse(name, how.runtime)
    if parsed.runtime is not None and parsed.runtime not in OF_GGUF:
        return 0
    file = read(gguf_file(parsed, how, None, lambda stage, _done, _whole: progress(stage, None)))
    widths = (
        tensor.shape[1]
        for tensor in file.tensors.values()
        if tensor.name.endswith((".attn_k.weight", ".attn_v.weight")) and len(tensor.shape) > 1
    )
    return _VALUE_BYTES * sum(widths)


def nearest(places: Sequence[Place], prompt: Sequence[int]) -> Place:
    """Of free places, the one whose target holds most of a prompt; among equal ones the first."""
    return max(places, key=lambda place: place.held(prompt))


def fair_share(target: Target, count: int) -> int:
    """`count` runs, but at most half of a verifier's sessions: nobody asked for a number, and others need some too."""
    most = None if target.remote is None else target.remote.most_runs
    return count if most is None else max(1, min(count, most // 2))


def within_sessions(target: Target, count: int) -> int:
    """`count` runs at the same time, or as many as a remote target serves at all: then with a warning in the log."""
    most = None if target.remote is None else target.remote.most_runs
    if most is None or count <= most:
        return count
    log.warning("%d runs at the same time instead of %d: the verifier has no more sessions (--sessions).", most, count)
    return most


def further_places(make: Callable[[], Place], count: int) -> list[Place]:
    """Up to `count` more places: fewer, with a warning in the log, if models or verifier have no room for them."""
    places: list[Place] = []
    for _ in range(count):
        try:
            places.append(make())
        except (ContextFullError, ModelError, TargetError) as error:
            log.warning("%d runs at the same time instead of %d. %s", len(places) + 1, count + 1, error)
            break
    return places


def new_place(
    shared: Shared,
    beside: Target,
    draft: LanguageModel | None,
    cheaper: LanguageModel | None,
    clock: Callable[[], float],
) -> Place:
    """A place with contexts of its own. beside: the first place's target. Other arguments: see `Session`.

    Raises ContextFullError and ModelError if there is no room for it, and TargetError if a remote target has none.
    """
    target = _further(shared, beside, clock)
    try:
        return Place(target, make_drafters(shared.settings, target, draft, cheaper, clock, shared))
    except BaseException:
        target.close()
        raise


def _further(shared: Shared, beside: Target, clock: Callable[[], float]) -> Target:
    if beside.remote is not None:
        return beside.remote.another()
    assert beside.window is not None
    first = beside.window
    model, size = first.model, first.context.size
    return LocalTarget(model, size, clock, window=Window(model, size, first.prefixes, shared.turns))
