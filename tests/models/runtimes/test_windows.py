"""Sliding windows on the runtimes for GGUF files: rewinds and trees across the window's edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from support import passes
from support.conformance import CHECKS, Check
from support.recurrent_rounds import play_rounds
from support.runtimes import needs_ik
from support.tiny_gguf import HIDDEN, LAYERS, write_tiny

WINDOW = 6  # shorter than the text of the checks
NOISE = 5e-3  # keys and values are in half precision
HEAD = HIDDEN // 2


def write_gemma3(path: Path) -> Path:
    """A Gemma 3 of two layers, both of which look back over the window only."""
    tensors: dict[str, np.ndarray | None] = {}
    for layer in range(LAYERS):
        for name, size in (("attn_q", HEAD), ("attn_k", HEAD), ("post_attention", HIDDEN), ("post_ffw", HIDDEN)):
            tensors[f"blk.{layer}.{name}_norm.weight"] = np.ones(size, np.float32)
    fields = {"{arch}.attention.sliding_window": WINDOW}
    sizes = {"{arch}.attention.key_length": HEAD, "{arch}.attention.value_length": HEAD}
    return write_tiny(path, "bpe", architecture="gemma3", fields=fields | sizes, tensors=tensors)


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppModel]:
    model = LlamaCppModel(write_gemma3(tmp_path_factory.mktemp("windowed") / "gemma3.gguf"), 1024)
    yield model
    model.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_window_keeps_the_promises_of_a_runtime(windowed: LlamaCppModel, check: Check) -> None:
    """Trees too: llama.cpp keeps every cell, and masks those outside the window."""
    check(windowed, NOISE)


@pytest.mark.parametrize("as_draft", [False, True], ids=["target", "draft"])
def test_random_rounds_cross_the_edge_of_the_window(windowed: LlamaCppModel, as_draft: bool) -> None:
    assert play_rounds(windowed, 100, NOISE, as_draft=as_draft) == 10


def test_the_window_is_really_one(windowed: LlamaCppModel) -> None:
    """What lies two windows back cannot be seen through two layers, and what lies inside can."""
    ids = list(range(5, 45))
    with passes.opened(windowed, 3) as [one, far, near]:
        row = passes.rows_of(windowed, one, ids, rows="last")
        before = passes.rows_of(windowed, far, [99, 98, 97, *ids[3:]], rows="last")
        inside = passes.rows_of(windowed, near, [*ids[:36], 99, *ids[37:]], rows="last")
    passes.assert_close(row, before, NOISE)
    assert np.abs(row - inside).max() > 20 * NOISE


def rewind_far(model: LlamaCppModel) -> None:
    """To many windows before the end: raises AssertionError unless the rows are those of a new context."""
    ids = [5 + place % 200 for place in range(380)]  # more than the cells of a cache that keeps windows only
    with passes.opened(model, 2, 400) as [used, fresh]:
        for start in range(0, len(ids), 10):
            passes.rows_of(model, used, ids[start : start + 10])
        used.keep(40)
        passes.rows_of(model, fresh, ids[:40])
        got, expected = (passes.rows_of(model, context, [9, 8, 7]) for context in (used, fresh))
        passes.assert_close(got, expected, NOISE)


def test_a_rewind_reaches_beyond_the_window(windowed: LlamaCppModel) -> None:
    rewind_far(windowed)


class ShortCache(LlamaCppModel):
    """The broken twin: the cache keeps the cells of one window only, as the library can be asked to."""

    sequences = 2  # each has a window's cells

    def _context_params(self) -> Any:
        params = super()._context_params()
        params.swa_full, params.n_ubatch = False, 16
        return params


def test_a_cache_of_the_window_alone_is_caught(windowed: LlamaCppModel) -> None:
    model = ShortCache(windowed.path, 1024)
    try:
        with pytest.raises((AssertionError, ModelError)):
            rewind_far(model)
    finally:
        model.close()


@needs_ik
def test_what_ends_ik_is_refused_in_words(windowed: LlamaCppModel, tmp_path: Path) -> None:
    """ik_llama.cpp ends the process in the first pass over this architecture; a child process finds out."""
    with pytest.raises(ModelError, match=r"ik_llama\.cpp"):
        require_loadable(windowed.path, tmp_path, "ik")
