"""Medusa's heads by their definition."""

from __future__ import annotations

import numpy as np

from support.tiny_heads import MEDUSA_NUMBERS, TinyRows, medusa_file, medusa_heads, state


def test_a_head_is_its_blocks_its_map_and_the_target_s_own_rows() -> None:
    file, heads, x = medusa_file(), medusa_heads(), state([1, 2])
    logits = heads.logits(x, 3)

    assert logits.shape == (3, len(file.vocabulary))
    for head in range(MEDUSA_NUMBERS["heads"]):
        own = x.astype(np.float64) / np.sqrt(np.square(x.astype(np.float64)).mean() + 1e-5)
        for block in range(MEDUSA_NUMBERS["blocks"]):
            inner = file.tensors[f"weight_{head}_{block}"] @ own + file.tensors[f"bias_{head}_{block}"]
            own = own + inner / (1 + np.exp(-inner))
        wanted = TinyRows().output(file.vocabulary) @ (file.tensors[f"map_{head}"] @ own)
        np.testing.assert_allclose(logits[head], wanted, rtol=1e-4)


def test_fewer_heads_may_be_asked() -> None:
    heads, x = medusa_heads(), state([3])
    np.testing.assert_array_equal(heads.logits(x, 2), heads.logits(x, 3)[:2])
