"""EAGLE-3 heads: every published layout computes what the definition computes, in chains and trees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.types import ROOT
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.eagle3_file import Eagle3File
from speculatoviz.models.tree import ancestors
from support import tiny_eagle3
from support.tiny_eagle3 import LAYERS, VOCABULARY, Definition, Layout, features, graph, ids, weights

pytest.importorskip("torch")
NEAR = 0.03  # of logits of about 4: the KV cache holds float16
COUNT = 9


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Eagle3File, Eagle3Cache]]:
    file = tiny_eagle3.head(tmp_path / "head")
    made = graph(file)
    yield file, Eagle3Cache(made)
    made.close()


def after_a_chain(file: Eagle3File, nodes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and state after the committed pairs and a chain, computed in two chunks and one pass for each node."""
    made = graph(file)
    cache = Eagle3Cache(made)
    tokens = ids(COUNT + 1).tolist()
    cache.append(features(COUNT)[:4], tokens[:5], last=False)
    logits, state = cache.append(features(COUNT)[4:], tokens[4:], last=True)
    for place, token in enumerate(nodes):
        logits, state = cache.grow(state, [token], [place - 1])
    made.close()
    return logits[0], state[0]


@pytest.mark.parametrize("nodes", [[], [3, 59, 0]])
@pytest.mark.parametrize("layout", ["eagle", "specforge", "speculators"])
def test_every_layout_computes_the_definition(tmp_path: Path, layout: Layout, nodes: list[int]) -> None:
    file = tiny_eagle3.head(tmp_path / "head", layout)
    assert file.layers == LAYERS
    assert file.vocabulary.tolist() == VOCABULARY.tolist()
    assert not file.shares
    logits, state = after_a_chain(file, nodes)
    expected = Definition(weights(), normed=layout == "speculators")
    right, own = expected.path(features(COUNT), ids(COUNT + 1).tolist(), nodes)
    assert np.abs(logits - right).max() < NEAR
    assert np.abs(state - own).max() < NEAR
    wrong, _ = Definition(weights(), normed=layout != "speculators").path(
        features(COUNT), ids(COUNT + 1).tolist(), nodes
    )
    assert np.abs(logits - wrong).max() > NEAR, "the other residual shows"


@pytest.mark.parametrize(
    "change",
    [
        {"midlayer.self_attn.q_proj.weight": lambda w: w[::-1]},
        {"midlayer.hidden_norm.weight": lambda w: w * 0.9},
        {"midlayer.input_layernorm.weight": lambda w: w * 0.9},
        {"fc.weight": lambda w: np.roll(w, tiny_eagle3.TARGET.hidden_size, axis=1)},
        {"embed_tokens.weight": lambda w: np.roll(w, 1, axis=0)},
        {"lm_head.weight": lambda w: np.roll(w, 1, axis=0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_wiring_shows(tmp_path: Path, change: dict[str, Any]) -> None:
    """The broken twins: each is a head whose parts are used in another place or order."""
    name, broken = next(iter(change.items()))
    twin = weights() | {name: np.ascontiguousarray(broken(weights()[name]))}
    logits, _ = after_a_chain(tiny_eagle3.head(tmp_path / "head", tensors=twin), [3, 59])
    right, _ = Definition(weights()).path(features(COUNT), ids(COUNT + 1).tolist(), [3, 59])
    assert np.abs(logits - right).max() > 5 * NEAR


def test_positions_are_scaled_as_in_llama_3(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    file = tiny_eagle3.head(tmp_path / "head", changes={"rope_scaling": rope})
    logits, _ = after_a_chain(file, [3])
    usual = 1.0 / tiny_eagle3.THETA ** (np.arange(0, tiny_eagle3.WIDTH, 2) / tiny_eagle3.WIDTH)
    scaled = []
    for frequency in usual:  # by the definition in transformers (modeling_rope_utils)
        wavelength = 2 * np.pi / frequency
        if wavelength < 64 / 4.0:
            scaled.append(frequency)
        elif wavelength > 64 / 1.0:
            scaled.append(frequency / 8.0)
        else:
            smooth = (64 / wavelength - 1.0) / (4.0 - 1.0)
            scaled.append((1 - smooth) * frequency / 8.0 + smooth * frequency)
    given = (features(COUNT), ids(COUNT + 1).tolist(), [3])
    assert np.abs(logits - Definition(weights(), frequencies=np.array(scaled)).path(*given)[0]).max() < NEAR
    assert np.abs(logits - Definition(weights()).path(*given)[0]).max() > NEAR


#          0        1
#    2   3   4      5
#    6   7          8
PARENTS = [[ROOT, ROOT], [0, 0, 0, 1], [2, 3, 5]]
TOKENS = [[0, 1], [3, 4, 7, 3], [8, 20, 41]]


def test_a_tree_gives_the_rows_of_its_chains(opened: tuple[Eagle3File, Eagle3Cache]) -> None:
    _, cache = opened
    definition, tokens = Definition(weights()), ids(COUNT + 1).tolist()
    for _round in range(3):  # the sequences of a draft are used again in the next one
        cache.keep(min(cache.length, 5))
        logits, states = cache.append(features(COUNT)[cache.length :], tokens[cache.length :], last=True)
        own = {ROOT: states[0]}
        flat_parents = [parent for level in PARENTS for parent in level]
        flat_tokens = [token for level in TOKENS for token in level]
        count = 0
        for level, level_tokens in zip(PARENTS, TOKENS, strict=True):
            logits, states = cache.grow(np.array([own[parent] for parent in level]), level_tokens, level)
            for row, state in zip(logits, states, strict=True):
                path = [flat_tokens[node] for node in ancestors(flat_parents, count)]
                right, right_state = definition.path(features(COUNT), tokens, path)
                assert np.abs(row - right).max() < NEAR
                assert np.abs(state - right_state).max() < NEAR
                own[count], count = state, count + 1


def test_rewinding_leaves_no_trace(opened: tuple[Eagle3File, Eagle3Cache]) -> None:
    _, cache = opened
    tokens = ids(COUNT + 1).tolist()
    right, _ = cache.append(features(COUNT), tokens, last=True)
    for length in (8, 5, 1, 0):
        cache.keep(length)
        cache.append(features(3, seed=1), ids(4, seed=9).tolist(), last=False)
        cache.keep(length)
        got, _ = cache.append(features(COUNT)[length:], tokens[length:], last=True)
        assert np.abs(got - right).max() < NEAR
    with pytest.raises(ValueError, match="expected a length"):
        cache.keep(COUNT + 1)


def test_a_long_draft_of_many_branches_reuses_its_sequences(opened: tuple[Eagle3File, Eagle3Cache]) -> None:
    """Thirty levels of four nodes: more branches than the library has sequences."""
    _, cache = opened
    _, states = cache.append(features(COUNT), ids(COUNT + 1).tolist(), last=True)
    parents, states = [ROOT] * 4, np.repeat(states, 4, axis=0)
    rows = np.empty(0)
    for level in range(30):
        rows, states = cache.grow(states, [0, 1, 3, 4], parents)
        parents, states = [4 * level + 1] * 4, states[[1] * 4]
    right, _ = Definition(weights()).path(features(COUNT), ids(COUNT + 1).tolist(), [*[1] * 29, 4])
    assert np.abs(rows[3] - right).max() < NEAR
