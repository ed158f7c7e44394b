"""The target's scores of a prompt's own tokens: one pass over every token, whatever the cache holds."""

from __future__ import annotations

from speculatoviz.core.sampling import scores
from speculatoviz.core.types import Request, Scores
from speculatoviz.errors import CancelledError
from speculatoviz.models.base import PREFILL_TOKENS, check_finite
from speculatoviz.models.window import Window


def prompt_scores(window: Window, request: Request) -> list[Scores]:
    """The raw scores (T=1, no filters) of request.prompt[1:], each given the tokens before it.

    Afterwards the window holds the prompt, so that a run of the same request computes nothing of it again. The number
    of alternatives is that of the request; 1 without one. Raises CancelledError between two passes.
    """
    ids, result = request.prompt, list[Scores]()
    window.record("hidden" in request.needs, "layers" in request.needs)
    window.keep(0)
    for start in range(0, len(ids), PREFILL_TOKENS):
        if request.cancelled():
            raise CancelledError
        rows = window.feed(ids[start : start + PREFILL_TOKENS], "all")
        check_finite(rows, "The target")
        following = ids[start + 1 : start + 1 + len(rows)]
        result += [scores(row, token, request.alternatives or 1) for row, token in zip(rows, following, strict=False)]
    return result
