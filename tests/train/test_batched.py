"""Many contexts in one pass of PyTorch give what each alone gives in the transformers runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import ContextFullError, TrainError
from speculatoviz.models.base import Feed
from support.runtimes import CAN_CONVERT, Weights

pytestmark = [pytest.mark.smol, pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra train")]

SHAPE: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
LAYERS = (2, 1)  # in the order in which they are asked for
IDS = np.random.default_rng(0).integers(0, 49_000, (5, 40)).tolist()


def saved(kind: str, folder: Path, weights: Weights, **settings: Any) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SHAPE | settings)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(weights.folder / file, folder / file)
    return folder


@pytest.fixture(scope="module")
def folder(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("Llama", tmp_path_factory.mktemp("llama"), weights)


def batched(folder: Path, slots: int = 5) -> Any:
    from speculatoviz.train.batched import BatchedModel

    return BatchedModel(folder, slots, 64, 1, dtype="float32")


@pytest.fixture(scope="module")
def alone(folder: Path) -> list[tuple[Floats, Floats, Floats]]:
    """States, logits and inputs of two inner layers of every text by itself."""
    from speculatoviz.models.runtimes.transformers import TransformersModel

    model = TransformersModel(folder, 512, 1, device="cpu", dtype="float32")
    found = []
    for ids in IDS:
        context = model.open(64)
        rows = model.forward([Feed(context, ids, hidden=True, layers=LAYERS)])[0]
        assert rows.hidden is not None
        assert rows.layers is not None
        found.append((rows.hidden.copy(), rows.logits.copy(), rows.layers.copy()))
        context.close()
    return found


def test_contexts_of_unlike_lengths_stand_in_one_pass(
    folder: Path, alone: list[tuple[Floats, Floats, Floats]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from speculatoviz.train import batched as module

    monkeypatch.setattr(module, "_GROUP", 2)
    model = batched(folder)
    contexts = [model.open(64) for _ in IDS]
    pace = np.random.default_rng(1)
    seen = [0] * len(IDS)
    while any(place < 40 for place in seen):
        counts = [min(40 - place, int(pace.choice([0, 1, 1, 1, 5]))) for place in seen]
        fed = [(n, count) for n, count in enumerate(counts) if count]
        if not fed:
            continue
        rows = model.forward(
            [Feed(contexts[n], IDS[n][seen[n] : seen[n] + count], layers=LAYERS if n else ()) for n, count in fed]
        )
        for (n, count), row in zip(fed, rows, strict=True):
            states, logits, inputs = alone[n]
            np.testing.assert_allclose(row.hidden, states[seen[n] : seen[n] + count], atol=1e-4)
            np.testing.assert_allclose(row.logits[-1], logits[seen[n] + count - 1], atol=1e-3)
            if n:
                np.testing.assert_allclose(row.layers, inputs[seen[n] : seen[n] + count], atol=1e-4)
            else:
                assert row.layers is None, "only where they are asked for"
            seen[n] += count
    assert [context.length for context in contexts] == [40] * len(IDS)


def test_a_context_begun_anew_sees_nothing_of_before(folder: Path, alone: list[tuple[Floats, Floats, Floats]]) -> None:
    model = batched(folder, slots=2)
    first, second = model.open(64), model.open(64)
    model.forward([Feed(first, IDS[0]), Feed(second, IDS[1][:1])])
    first.keep(0)
    rows = model.forward([Feed(first, IDS[2][:7]), Feed(second, IDS[1][1:2])])
    np.testing.assert_allclose(rows[0].hidden, alone[2][0][:7], atol=1e-4)
    np.testing.assert_allclose(rows[1].hidden, alone[1][0][1:2], atol=1e-4)
    with pytest.raises(ValueError, match="up to 7"):
        first.keep(8)


def test_contexts_are_given_back(folder: Path) -> None:
    model = batched(folder, slots=1)
    with pytest.raises(ContextFullError):
        model.open(65)
    only = model.open(64)
    with pytest.raises(ContextFullError):
        model.open(1)
    only.close()
    model.open(64)


def test_models_that_see_a_window_are_refused(weights: Weights, tmp_path: Path) -> None:
    path = saved("Mistral", tmp_path, weights, sliding_window=6, head_dim=16)
    with pytest.raises(TrainError, match="--write-with llamacpp"):
        batched(path)
