"""P-EAGLE heads as they are published: every layout gives the same head, and what does not fit is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.errors import HeadError
from speculatoviz.heads.gguf_head import HeadTarget
from support import tiny_eagle3, tiny_p_eagle
from support.head_sessions import TOY, TOY_IDS, check_drafting
from support.tiny_eagle3 import TARGET, head
from support.tiny_p_eagle import DEPTH, MASK, weights

SPECULATORS = {"speculators_model_type": "peagle", "norm_before_residual": False, "architectures": ["PEagleSpeculator"]}


@pytest.mark.parametrize(
    ("layout", "changes"),
    [
        ("eagle", {"ptd_token_id": MASK, "para_depths": DEPTH}),
        ("specforge", {"pard_token": MASK, "para_depths": DEPTH}),
        ("speculators", {**SPECULATORS, "mask_token_id": MASK, "para_depths": DEPTH}),
        ("speculators", {**SPECULATORS, "ptd_token_id": MASK}),
    ],
)
def test_every_layout_is_read(layout: Any, changes: dict[str, Any], tmp_path: Path) -> None:
    file = head(tmp_path / "head", layout, tensors=weights(), changes=changes)
    assert file.masks is not None
    assert file.masks.token == MASK
    assert file.masks.depth == (DEPTH if "para_depths" in changes else 8)
    np.testing.assert_array_equal(file.masks.state, weights()["mask_hidden"].reshape(-1))
    graph = tiny_eagle3.graph(file)
    graph.close()


def test_an_eagle3_head_has_no_masks(tmp_path: Path) -> None:
    assert head(tmp_path / "head").masks is None


def other(**changes: Any) -> dict[str, np.ndarray]:
    return {name: tensor for name, tensor in (weights() | changes).items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "changes", "words"),
    [
        (other(mask_hidden=None), {"ptd_token_id": MASK}, "a mask token and no mask_hidden"),
        (other(mask_hidden=None), SPECULATORS, "a mask token and no mask_hidden"),
        (other(), {}, "does not state its mask token"),
        (other(), {"ptd_token_id": 60}, "mask token of head is 60"),
        (other(), {"ptd_token_id": -1}, "mask token of head is -1"),
        (other(mask_hidden=np.zeros((1, 1, 24), np.float32)), {"ptd_token_id": 1}, "no list of 72 finite numbers"),
        (other(mask_hidden=np.full((1, 1, 72), np.nan, np.float32)), {"ptd_token_id": 1}, "no list of 72 finite"),
        (other(), {"ptd_token_id": 1, "para_depths": 99}, "drafts 99 tokens at once"),
        (other(), {"ptd_token_id": 1, "num_hidden_layers": 4}, "more than one layer"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    tensors: dict[str, np.ndarray], changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(HeadError, match=words):
        head(tmp_path / "head", tensors=tensors, changes=changes)


@pytest.mark.parametrize("drafter", ["p-eagle", "hybrid"])
@pytest.mark.parametrize("nodes", [0, 7])
def test_a_published_head_drafts_and_leaves_greedy_text_as_it_is(tmp_path: Path, drafter: str, nodes: int) -> None:
    sizes = {"target_hidden_size": TOY.hidden_size, "vocab_size": TOY.n_vocab}
    folder = tiny_eagle3.write(
        tmp_path / "head", tensors=tiny_p_eagle.weights(TOY, TOY_IDS), changes=tiny_p_eagle.config(**sizes)
    )
    check_drafting(tmp_path, folder, "p-eagle", drafter, nodes)


def test_a_head_of_another_target_is_refused(tmp_path: Path) -> None:
    target = HeadTarget("other", TARGET.layers, TARGET.hidden_size + 8, TARGET.n_vocab)
    with pytest.raises(HeadError, match="states have 24 numbers"):
        head(tmp_path / "head", target=target, tensors=weights(), changes={"ptd_token_id": MASK})
