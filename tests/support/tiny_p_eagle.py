"""P-EAGLE heads of a few random numbers, and the rows of a draft by their definition in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.heads.eagle3_file import Eagle3File, Masks
from speculatoviz.heads.gguf_head import HeadTarget
from support import tiny_eagle3
from support.tiny_eagle3 import TARGET, VOCABULARY, Definition

DEPTH, MASK = 4, 2


def weights(target: HeadTarget = TARGET, ids: Sequence[int] | np.ndarray = VOCABULARY) -> dict[str, np.ndarray]:
    """By the names of the EAGLE repository, with the vector of the masked places as it is published."""
    hidden = np.random.default_rng(11).standard_normal((1, 1, 3 * target.hidden_size))
    return tiny_eagle3.weights(0, target, ids) | {"mask_hidden": hidden.astype(np.float16).astype(np.float32)}


def config(**changes: Any) -> dict[str, Any]:
    """What a configuration has beside that of an EAGLE-3 head."""
    return {"ptd_token_id": MASK, "para_depths": DEPTH, **changes}


@cache
def loaded(n_vocab: int = TARGET.n_vocab) -> tuple[Any, Eagle3File]:
    """A head that is loaded once and never closed: its graph, and its file, which is removed again."""
    target = replace(TARGET, n_vocab=n_vocab)
    ids = VOCABULARY if n_vocab == TARGET.n_vocab else np.arange(n_vocab)
    with TemporaryDirectory() as folder:
        changes = config(vocab_size=n_vocab)
        file = tiny_eagle3.head(Path(folder) / "head", target=target, tensors=weights(target, ids), changes=changes)
        return tiny_eagle3.graph(file), file


def masks(n_vocab: int = TARGET.n_vocab) -> Masks:
    """Of `loaded`."""
    found = loaded(n_vocab)[1].masks
    assert found is not None
    return found


def rows(states: Floats, tokens: Sequence[int]) -> Floats:
    """Logits float64[DEPTH, K] of a draft. states float32[n, 3 * D] at the first n of `tokens` int[n + 1]."""
    own = weights()
    definition = Definition({name: tensor for name, tensor in own.items() if name != "mask_hidden"})
    masked = definition.fuse(own["mask_hidden"][0])
    given = np.concatenate([definition.fuse(states), *[masked] * (DEPTH - 1)])
    following = [*tokens[1:], *[MASK] * (DEPTH - 1)]
    sees = np.tril(np.ones((len(given), len(given)), np.bool_))
    logits, _ = definition.forward(following, given, range(len(given)), sees)
    found: Floats = logits[-DEPTH:].astype(np.float64)
    return found
