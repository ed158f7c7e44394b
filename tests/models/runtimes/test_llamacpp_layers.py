"""Inputs of inner layers in llama.cpp: both ways give one result, and what cannot be given is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Feed
from speculatoviz.models.runtimes import llamacpp_layers
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from support.tiny_gguf import HIDDEN, LAYERS, write_tiny

IDS = [5, 9, 20, 33, 7]


@pytest.fixture
def unmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp_layers, "_MARKED", frozenset())


def inputs(model: LlamaCppModel, layer: int = 1) -> Floats:
    context = model.open(16)
    rows = model.forward([Feed(context, IDS[:3], "last", layers=(layer,))])[0]
    assert rows.layers is not None
    first = np.array(rows.layers)
    rows = model.forward([Feed(context, IDS[3:], "last", layers=(layer,))])[0]
    assert rows.layers is not None
    context.close()
    return np.concatenate([first, rows.layers])


def test_watching_a_pass_gives_what_the_library_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    marked = LlamaCppModel(path, 64)
    monkeypatch.setattr(llamacpp_layers, "_MARKED", frozenset())
    watched = LlamaCppModel(path, 64, layers=True)
    try:
        expected = inputs(marked)
        assert expected.shape == (len(IDS), HIDDEN)
        assert np.array_equal(inputs(watched), expected)
        sibling = watched.sibling(64)
        assert np.array_equal(inputs(sibling), expected)  # type: ignore[arg-type]
        sibling.close()
    finally:
        watched.close()
        marked.close()


@pytest.mark.usefixtures("unmarked")
def test_watching_costs_passes_something_so_it_has_to_be_asked_for(tmp_path: Path) -> None:
    model = LlamaCppModel(write_tiny(tmp_path / "tiny.gguf"), 64)
    try:
        assert "layers" not in model.provides
        with pytest.raises(BadRequestError, match=r"llama\.cpp cannot give inputs of inner layers"):
            inputs(model)
    finally:
        model.close()


@pytest.mark.parametrize("name", ["_SET", "_GET"])
def test_a_library_without_the_functions_is_watched_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    model = LlamaCppModel(path, 64)
    expected = inputs(model)
    model.close()
    monkeypatch.setattr(llamacpp_layers, name, ("gone", "gone too"))
    llamacpp_layers._functions.cache_clear()
    try:
        plain, watched = LlamaCppModel(path, 64), LlamaCppModel(path, 64, layers=True)
        assert "layers" not in plain.provides
        assert np.array_equal(inputs(watched), expected)
        plain.close()
        watched.close()
    finally:
        llamacpp_layers._functions.cache_clear()


@pytest.mark.usefixtures("unmarked")
def test_a_graph_that_does_not_name_its_layers_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LlamaCppModel(write_tiny(tmp_path / "tiny.gguf"), 64, layers=True)
    tensors = model._inner._tensors  # type: ignore[union-attr]
    monkeypatch.setattr(tensors, "_functions", {**tensors._functions, "ggml_get_name": lambda _: b"node_7"})
    try:
        with pytest.raises(ModelError, match="gives no input of layer 1"):
            inputs(model)
    finally:
        model.close()


def test_the_last_layer_is_the_model_s_last_inner_one(tmp_path: Path) -> None:
    model = LlamaCppModel(write_tiny(tmp_path / "tiny.gguf"), 64)
    try:
        with pytest.raises(BadRequestError, match=f"no inner layer {LAYERS}"):
            inputs(model, LAYERS)
    finally:
        model.close()


@pytest.mark.parametrize("watched", [False, True])
def test_asking_for_inputs_changes_no_logit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool) -> None:
    """Bit for bit: what is read of a pass does not depend on who reads it, and neither does a text."""
    path = write_tiny(tmp_path / "tiny.gguf")
    plain = LlamaCppModel(path, 64)
    if watched:
        monkeypatch.setattr(llamacpp_layers, "_MARKED", frozenset())
    asked = LlamaCppModel(path, 64, layers=True)
    try:
        rows = []
        for model, layers in ((plain, ()), (asked, (1,))):
            context = model.open(16)
            feeds = [Feed(context, IDS[:3], layers=layers), Feed(context, IDS[3:], layers=layers)]
            rows.append(np.concatenate([np.array(model.forward([feed])[0].logits) for feed in feeds]))
            context.close()
        assert np.array_equal(*rows)
    finally:
        asked.close()
        plain.close()
