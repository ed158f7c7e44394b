"""The noise floor: how far a model's distribution moves when the same tokens are computed in other pass sizes.

Quantised kernels are not batch-invariant. The noise depends on the length of the context and on the number of rows, so
it is measured at the lengths and rows that runs have (docs/exactness.md, "The noise floor").
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.models.window import Window

POSITIONS = 16  # tokens whose distributions are compared


@dataclass(frozen=True, slots=True)
class Noise:
    """Total variation TV = 1/2 sum |a - b| between the next-token distributions of passes of one and of `rows` tokens.

    Over `tokens` positions that end at a context of `context_tokens`. argmax_agreement: the share of positions where
    both have the same most probable token.
    """

    mean_total_variation: float
    max_total_variation: float
    argmax_agreement: float
    tokens: int
    context_tokens: int
    rows: int


def noise_floor(window: Window, ids: Sequence[int], rows: int, cancelled: Callable[[], bool] = lambda: False) -> Noise:
    """Feed the last 16 of `ids` one by one and `rows` at a time, and compare the distributions after them.

    ids: at least 17 tokens of ordinary text. rows: 2 or more. Raises CancelledError between chunks of the prefill. The
    cache is left with a prefix of `ids`.
    """
    prefix, compared = ids[:-POSITIONS], ids[-POSITIONS:]
    single = _distributions(window, prefix, compared, 1, cancelled)
    batched = _distributions(window, prefix, compared, rows, cancelled)
    variations = [0.5 * float(np.abs(a - b).sum()) for a, b in zip(single, batched, strict=True)]
    agreements = [int(a.argmax()) == int(b.argmax()) for a, b in zip(single, batched, strict=True)]
    return Noise(
        mean_total_variation=statistics.fmean(variations),
        max_total_variation=max(variations),
        argmax_agreement=statistics.fmean(agreements),
        tokens=len(compared),
        context_tokens=len(ids),
        rows=rows,
    )


def _distributions(
    window: Window, prefix: Sequence[int], ids: Sequence[int], rows: int, cancelled: Callable[[], bool]
) -> list[Floats]:
    """float64[V] after each of `ids`."""
    window.prefill(prefix, cancelled)
    result: list[Floats] = []
    for start in range(0, len(ids), rows):
        logits = window.feed(ids[start : start + rows]).astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        result += list(weights / weights.sum(axis=1, keepdims=True))
    return result


class NoiseTable:
    """The measurements of one model: the latest one for each context length and number of rows."""

    def __init__(self) -> None:
        self._measured: dict[tuple[int, int], Noise] = {}

    def add(self, noise: Noise) -> None:
        self._measured[noise.context_tokens, noise.rows] = noise

    @property
    def longest(self) -> int:
        """The longest context that was measured, in tokens; 0 before the first measurement."""
        return max((context for context, _ in self._measured), default=0)

    @property
    def silent(self) -> bool:
        """Whether no measurement found a difference."""
        return all(noise.max_total_variation == 0 for noise in self._measured.values())

    def for_run(self, context_tokens: int, rows: int) -> Noise | None:
        """The measurement that fits a run of that context with passes of `rows` tokens best; None without any.

        Of those with the same rows (of all, if there are none) the shortest context that covers the run, else the
        longest one: noise grows with the context.
        """
        same = [noise for noise in self._measured.values() if noise.rows == rows] or list(self._measured.values())
        covering = [noise for noise in same if noise.context_tokens >= context_tokens]
        if covering:
            return min(covering, key=lambda noise: noise.context_tokens)
        return max(same, key=lambda noise: noise.context_tokens, default=None)
