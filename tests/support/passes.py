"""Contexts of a model under test, passes on them, and the rows that these give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from speculatoviz.models.base import Context, Feed, LanguageModel

TEXT = "the quick brown fox jumps over the lazy dog because it can"
SIZE = 128  # of the contexts opened here


def ids_of(model: LanguageModel) -> list[int]:
    return model.tokenizer.encode(TEXT, special=False)[:9]


def other_ids(model: LanguageModel, count: int) -> list[int]:
    """Others than those of the text, of which a tree's siblings are made."""
    tokens = model.tokenizer.encode("and a few more words go here", special=False)
    return (tokens * count)[:count]


@contextmanager
def opened(model: LanguageModel, count: int = 1, size: int = SIZE) -> Iterator[list[Context]]:
    contexts = [model.open(size) for _ in range(count)]
    try:
        yield contexts
    finally:
        for context in contexts:
            context.close()


def rows_of(model: LanguageModel, context: Context, tokens: Sequence[int], **wanted: Any) -> np.ndarray:
    return np.array(model.forward([Feed(context, tokens, **wanted)])[0].logits)


def one_by_one(model: LanguageModel, context: Context, tokens: Sequence[int]) -> np.ndarray:
    return np.concatenate([rows_of(model, context, [token]) for token in tokens])


def assert_close(got: np.ndarray, expected: np.ndarray, noise: float) -> None:
    """Of a trimmed vocabulary, the logits of the other tokens are minus infinity in every row."""
    assert got.shape == expected.shape
    given = ~np.isneginf(expected).all(axis=0)
    assert given.any()
    assert np.isneginf(got[:, ~given]).all()
    assert np.isfinite(got[:, given]).all()
    worst = float(np.abs(got[:, given] - expected[:, given]).max())
    assert worst <= noise, f"differs by {worst:g}, and the stated noise is {noise:g}"
