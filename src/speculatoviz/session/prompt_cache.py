"""The caches of earlier prompts, and what they save a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from speculatoviz.config import Settings
from speculatoviz.core.steps import Begun
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.prefix_cache import SHORTEST, PrefixCache
from speculatoviz.models.prefix_files import PrefixFiles, StorableModel
from speculatoviz.models.window import Window
from speculatoviz.telemetry.events import Event, Metrics
from speculatoviz.telemetry.parts import PromptCacheInfo

S = TypeVar("S")
log = logging.getLogger(__name__)


def open_prompt_cache(settings: Settings, model: LanguageModel) -> PrefixCache:
    """The prompt cache of a model, with what an earlier process has stored of it."""
    folder, files = settings.prompt_cache, None
    if folder is not None and isinstance(model, StorableModel):
        files = PrefixFiles(Path(folder), model.snapshot_key())
    elif folder is not None:
        about = model.description
        log.warning("Prompts of %s are not stored: %s cannot copy contexts.", about.name, about.runtime)
    return PrefixCache(settings.prompt_cache_tokens, files)


class PromptCacheMeter:
    """Estimates the time that hits save, from the last prompt of which SHORTEST tokens or more were computed.

    window: the target's; None for a remote target.
    """

    def __init__(self, window: Window | None) -> None:
        self._window = window
        self._token_ms: float | None = None
        self._hit_tokens = 0

    def watch(self, steps: Iterable[S]) -> Iterator[S]:
        """Pass the steps of a run on, and note what the cache had of its prompt.

        A change of settings begins again with what the run itself has computed: that is no hit.
        """
        for step in steps:
            if isinstance(step, Begun) and self._window is not None:
                self._hit_tokens = self._window.reused
            yield step

    def follow(self, events: Iterable[Event], prompt_tokens: int) -> Iterator[Event]:
        """Pass the events of a run on; the metrics of its first round with what the cache had of its prompt."""
        for event in events:
            if isinstance(event, Metrics) and event.round == 0:
                yield event.model_copy(update={"prompt_cache": self._info(event, prompt_tokens)})
            else:
                yield event

    def _info(self, first: Metrics, prompt_tokens: int) -> PromptCacheInfo | None:
        window, hit = self._window, self._hit_tokens
        if window is None:
            return None
        if (computed := prompt_tokens - hit) >= SHORTEST:
            self._token_ms = first.prefill_ms / computed
        return PromptCacheInfo(
            hit_tokens=hit,
            prompt_tokens=prompt_tokens,
            saved_ms=None if self._token_ms is None else hit * self._token_ms,
            held_tokens=0 if window.prefixes is None else window.prefixes.held_tokens,
        )
