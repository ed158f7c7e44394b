"""What the cache of earlier prompts saves a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from speculatoviz.models.prefix_cache import SHORTEST
from speculatoviz.models.window import Window
from speculatoviz.telemetry.events import Event, Metrics
from speculatoviz.telemetry.parts import PromptCacheInfo


class PromptCacheMeter:
    """Estimates the time that hits save, from the last prompt of which SHORTEST tokens or more were computed.

    window: the target's; None for a remote target.
    """

    def __init__(self, window: Window | None) -> None:
        self._window = window
        self._token_ms: float | None = None

    def follow(self, events: Iterable[Event], prompt_tokens: int) -> Iterator[Event]:
        """Pass the events of a run on; the metrics of its first round with what the cache had of its prompt."""
        for event in events:
            if isinstance(event, Metrics) and event.round == 0:
                yield event.model_copy(update={"prompt_cache": self._info(event, prompt_tokens)})
            else:
                yield event

    def _info(self, first: Metrics, prompt_tokens: int) -> PromptCacheInfo | None:
        window = self._window
        if window is None:
            return None
        hit = window.reused
        if (computed := prompt_tokens - hit) >= SHORTEST:
            self._token_ms = first.prefill_ms / computed
        return PromptCacheInfo(
            hit_tokens=hit,
            prompt_tokens=prompt_tokens,
            saved_ms=None if self._token_ms is None else hit * self._token_ms,
            held_tokens=0 if window.prefixes is None else window.prefixes.held_tokens,
        )
