"""DFlash heads: both published layouts compute what the definition computes, and a rewind leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.heads.dflash import DflashCache
from speculatoviz.heads.dflash_file import DflashFile
from support import tiny_dflash
from support.tiny_dflash import BLOCK, LAYERS, MASK, TARGET, VOCABULARY, Definition, Layout, graph, weights
from support.tiny_eagle3 import features as three_layers

pytest.importorskip("torch")
NEAR = 0.03  # of logits of about 8: the KV cache holds float16
COMMITTED, TOKEN = 9, 33


def features(count: int = COMMITTED, seed: int = 7) -> Floats:
    return three_layers(count, seed, TARGET)


def computed(file: DflashFile, token: int = TOKEN, given: Floats | None = None) -> Floats:
    """Logits of a block after committed tokens that were read in two chunks."""
    made, rows = graph(file), features() if given is None else given
    cache = DflashCache(made)
    cache.append(rows[:4])
    cache.append(rows[4:])
    logits = cache.block(token)
    made.close()
    return logits


def off(logits: Floats, right: Floats) -> float:
    return float(np.abs(logits - right).max())


@pytest.mark.parametrize("layout", ["z-lab", "speculators"])
def test_both_layouts_compute_the_definition(tmp_path: Path, layout: Layout) -> None:
    file = tiny_dflash.head(tmp_path / "head", layout)
    assert (file.layers, file.vocabulary.tolist()) == (LAYERS, VOCABULARY.tolist())
    assert (file.places.block, file.places.mask, file.places.drafted) == (BLOCK, MASK, BLOCK - 1)
    assert not file.shares
    right = Definition(weights()).block(features(), TOKEN)
    assert off(computed(file), right[1:]) < NEAR
    assert off(right[1:], right[:-1]) > NEAR, "the rows of a block are its places, in order"


TWINS: dict[str, Callable[[], Floats]] = {
    "a mask that hides the newest committed token": lambda: Definition(weights(), shift=1).block(features(), TOKEN),
    "a causal mask": lambda: Definition(weights(), causal=True).block(features(), TOKEN),
    "layers in another order": lambda: Definition(weights()).block(
        np.roll(features(), TARGET.hidden_size, axis=1), TOKEN
    ),
    "states of the token before": lambda: Definition(weights()).block(features()[:-1], TOKEN),
    "another mask token": lambda: Definition(weights()).block(features(), TOKEN, mask=MASK + 1),
    "a shorter block": lambda: Definition(weights()).block(features(), TOKEN, BLOCK - 1),
}


@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS.keys())
def test_another_wiring_shows(tmp_path: Path, twin: Callable[[], Floats]) -> None:
    """The broken twins: the same head, wired wrong, is told apart by the comparison of the test above."""
    wrong = twin()[1:]
    assert off(computed(tiny_dflash.head(tmp_path / "head"))[: len(wrong)], wrong) > 2 * NEAR


@pytest.mark.parametrize(
    "change",
    [
        {"layers.1.self_attn.q_proj.weight": lambda w: w[::-1]},
        {"layers.0.self_attn.k_norm.weight": lambda w: w[::-1]},
        {"hidden_norm.weight": lambda w: w[::-1]},
        {"norm.weight": lambda w: w[::-1]},
        {"layers.1.post_attention_layernorm.weight": lambda w: w[::-1]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_tensor_has_its_place(tmp_path: Path, change: dict[str, Any]) -> None:
    name, changed = next(iter(change.items()))
    twin = weights() | {name: np.ascontiguousarray(changed(weights()[name]))}
    logits = computed(tiny_dflash.head(tmp_path / "head", tensors=twin))
    assert off(logits, Definition(twin).block(features(), TOKEN)[1:]) < NEAR
    assert off(logits, Definition(weights()).block(features(), TOKEN)[1:]) > NEAR


WINDOW = 6
SLIDING = {"layer_types": ["sliding_attention"] * 2, "sliding_window": WINDOW}


@pytest.mark.parametrize("causal", [True, False])
def test_sliding_layers_see_their_window(tmp_path: Path, causal: bool) -> None:
    file = tiny_dflash.head(tmp_path / "head", changes=SLIDING | ({} if causal else {"is_causal": False}))
    assert file.places.causal == causal
    logits = computed(file)
    assert off(logits, Definition(weights(), window=WINDOW, causal=causal).block(features(), TOKEN)[1:]) < NEAR
    assert off(logits, Definition(weights(), window=WINDOW, causal=not causal).block(features(), TOKEN)[1:]) > NEAR
    assert off(logits, Definition(weights(), window=WINDOW + 1, causal=causal).block(features(), TOKEN)[1:]) > NEAR


def test_a_head_that_counts_its_first_place_drafts_one_token_more(tmp_path: Path) -> None:
    file = tiny_dflash.head(tmp_path / "head", "speculators", changes={"sample_from_anchor": True})
    logits = computed(file)
    assert len(logits) == file.places.drafted == BLOCK
    assert off(logits, Definition(weights()).block(features(), TOKEN)) < NEAR


def test_positions_are_scaled_as_in_llama_3(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    logits = computed(tiny_dflash.head(tmp_path / "head", changes={"rope_scaling": rope}))
    usual = 1.0 / tiny_dflash.THETA ** (np.arange(0, tiny_dflash.WIDTH, 2) / tiny_dflash.WIDTH)
    lengths = 2 * np.pi / usual
    smooth = np.clip((64 / lengths - 1.0) / (4.0 - 1.0), 0.0, 1.0)
    scaled = usual * ((1 - smooth) / 8.0 + smooth)
    assert off(logits, Definition(weights(), frequencies=scaled).block(features(), TOKEN)[1:]) < NEAR
    assert off(logits, Definition(weights()).block(features(), TOKEN)[1:]) > NEAR


def test_positions_are_scaled_evenly(tmp_path: Path) -> None:
    logits = computed(tiny_dflash.head(tmp_path / "head", changes={"rope_scaling": {"type": "linear", "factor": 4.0}}))
    scaled = 1.0 / tiny_dflash.THETA ** (np.arange(0, tiny_dflash.WIDTH, 2) / tiny_dflash.WIDTH) / 4.0
    assert off(logits, Definition(weights(), frequencies=scaled).block(features(), TOKEN)[1:]) < NEAR
    assert off(logits, Definition(weights()).block(features(), TOKEN)[1:]) > NEAR


def test_rewinding_leaves_no_trace(tmp_path: Path) -> None:
    made = graph(tiny_dflash.head(tmp_path / "head"))
    cache, right = DflashCache(made), Definition(weights()).block(features(), TOKEN)[1:]
    cache.append(features())
    for length in (8, 5, 1, 0):
        cache.keep(length)
        cache.append(features(3, seed=1))
        cache.block(7)
        cache.keep(length)
        cache.append(features()[length:])
        assert off(cache.block(TOKEN), right) < NEAR
        assert off(cache.block(TOKEN), right) < NEAR, "a block leaves nothing in the cache"
    with pytest.raises(ValueError, match="expected a length"):
        cache.keep(COMMITTED + 1)
    made.close()
    made.close()


def test_a_block_without_committed_tokens_and_one_after_many(tmp_path: Path) -> None:
    made = graph(tiny_dflash.head(tmp_path / "head"), cells=200)
    cache, long = DflashCache(made), features(200)
    assert off(cache.block(TOKEN), Definition(weights()).block(features(0), TOKEN)[1:]) < NEAR
    for start in range(0, 200, 64):
        cache.append(long[start : start + 64])
    assert off(cache.block(TOKEN), Definition(weights()).block(long, TOKEN)[1:]) < 2 * NEAR
    made.close()
