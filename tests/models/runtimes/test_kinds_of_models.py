"""Tiny models with random weights that are no plain transformers: windows, recurrent layers; and broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import ModelError
from support import conformance, conformance_trees, passes
from support.conformance import CHECKS, Check
from support.conformance_trees import NEEDS_TREES
from support.recurrent_rounds import play_rounds
from support.runtimes import CAN_CONVERT, RUNTIMES, Weights
from support.tiny_folders import of_mlx, of_transformers, save
from support.tiny_gguf import write_tiny

pytestmark = [pytest.mark.smol, pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra hf")]
needs_mlx = pytest.mark.skipif(not RUNTIMES["mlx"].installed, reason="needs the extra mlx")

WINDOW = 6  # shorter than the text of the checks


@pytest.fixture(scope="module")
def windowed(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(
        "Mistral", tmp_path_factory.mktemp("windowed"), weights, sliding_window=WINDOW, head_dim=16, num_hidden_layers=3
    )


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NEEDS_TREES], ids=lambda check: check.__name__)
def test_a_window_is_rewound_beyond_its_length(windowed: Path, check: Check) -> None:
    model = of_transformers(windowed)
    assert "trees" not in model.provides
    assert model.description.name == windowed.name
    check(model, 1e-4)


def test_random_rounds_cross_the_edge_of_a_window(windowed: Path) -> None:
    model = of_transformers(windowed)
    assert play_rounds(model, 60, 1e-4) == 6
    assert play_rounds(model, 60, 1e-4, as_draft=True) == 6


def test_a_cache_of_the_window_alone_is_caught(windowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: only the last cells are kept, and a rewind beyond them finds those of other tokens."""
    from speculatoviz.models.runtimes.transformers_contexts import _Layer

    honest = _Layer.update

    def forgetful(layer: Any, keys: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        result = honest(layer, keys, values, *args, **kwargs)
        lost = layer.length - keys.shape[2] - WINDOW
        if lost > 0:
            layer.keys[:, :, :lost] = 0
            layer.values[:, :, :lost] = 0
        return result

    model = of_transformers(windowed)
    monkeypatch.setattr(_Layer, "update", forgetful)
    with pytest.raises(AssertionError):
        play_rounds(model, 60, 1e-4, as_draft=True)


def test_the_window_is_really_one(windowed: Path) -> None:
    """Otherwise the checks above would show nothing: what lies two windows back cannot be seen through two layers."""
    model = of_transformers(windowed)
    ids = passes.ids_of(model) * 3
    with passes.opened(model, 2) as [first, second]:
        far = passes.rows_of(model, first, ids, rows="last")
        near = passes.rows_of(model, second, [*passes.other_ids(model, 5), *ids[5:]], rows="last")
        passes.assert_close(far, near, 1e-4)
        second.keep(0)
        inside = passes.rows_of(model, second, [*ids[:-4], *passes.other_ids(model, 3), ids[-1]], rows="last")
        assert abs(inside - far).max() > 1e-3


@needs_mlx
def test_mlx_rewinds_beyond_a_window(weights: Weights, tmp_path: Path) -> None:
    """In a context longer than a window, whose cache turns: rewinds across its edge, in passes of any length."""
    kinds = ["sliding_attention", "full_attention"]
    model = of_mlx(save("Llama", tmp_path, weights, sliding_window=WINDOW, layer_types=kinds))
    assert model.description.context_tokens == 512
    assert "trees" not in model.provides
    for check in (
        conformance.batches_give_the_rows_of_single_passes,
        conformance.rewinding_leaves_no_trace,
        conformance.a_rewind_to_zero_is_a_new_beginning,
        conformance.two_sequences_do_not_meet,
    ):
        check(model, 1e-4)
    assert play_rounds(model, 30, 1e-4) == 3
    assert play_rounds(model, 30, 1e-4, as_draft=True) == 3


@needs_mlx
def test_a_window_that_is_cut_after_it_has_turned_is_caught(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: the cache of the window is left as it is."""
    from speculatoviz.models.runtimes.mlx_contexts import CopiedContext

    monkeypatch.setattr(CopiedContext, "load", lambda *_: None)
    kinds = ["sliding_attention", "full_attention"]
    model = of_mlx(save("Llama", tmp_path, weights, sliding_window=WINDOW, layer_types=kinds))
    with pytest.raises(AssertionError):
        play_rounds(model, 30, 1e-4)


@needs_mlx
def test_mlx_runs_weights_quantised_as_published_for_it(weights: Weights, tmp_path: Path) -> None:
    from mlx_lm import convert

    folder = save("Llama", tmp_path / "full", weights, hidden_size=64, num_key_value_heads=2)
    convert(str(folder), str(tmp_path / "four"), quantize=True, q_bits=4, q_group_size=32)
    model = of_mlx(tmp_path / "four")
    assert model.description.quantisation == "4-bit"
    assert model.description.parameters == of_mlx(folder).description.parameters
    for check in (conformance.batches_give_the_rows_of_single_passes, conformance_trees.trees_follow_trees):
        check(model, 1e-3)


DAMAGES: dict[str, dict[str, Any]] = {
    "unknown architecture": {"model_type": "abacus", "architectures": None},
    "no architecture": {"model_type": None, "architectures": None},
    "other shapes": {"hidden_size": 64},
    "endless layers": {"num_hidden_layers": 10**9},
    "no layers": {"num_hidden_layers": 0},
    "layers as text": {"num_hidden_layers": "two"},
    "heads that do not divide": {"num_attention_heads": 7},
    "length as text": {"max_position_embeddings": "long"},
}
IGNORED_BY_MLX: dict[str, dict[str, Any]] = {
    "odd activation": {"hidden_act": "abacus"},
    "odd quantisation": {"quantization": {"bits": "four", "group_size": 0}, "quantization_config": {"bits": "four"}},
}


@pytest.mark.parametrize("load", [of_transformers, pytest.param(of_mlx, marks=needs_mlx)])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_odd_configuration_is_refused_in_words(weights: Weights, tmp_path: Path, load: Any, damage: str) -> None:
    config = save("Llama", tmp_path, weights) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | DAMAGES[damage]))
    with pytest.raises(ModelError) as refusal:
        load(tmp_path)
    assert refusal.value.hint


@pytest.mark.parametrize("damage", IGNORED_BY_MLX)
def test_what_one_library_ignores_another_refuses(weights: Weights, tmp_path: Path, damage: str) -> None:
    config = save("Llama", tmp_path, weights) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | IGNORED_BY_MLX[damage]))
    with pytest.raises(ModelError):
        of_transformers(tmp_path)
    if RUNTIMES["mlx"].installed:
        assert of_mlx(tmp_path).description.quantisation == "F32"


@pytest.mark.parametrize("load", [of_transformers, pytest.param(of_mlx, marks=needs_mlx)])
@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, "\xff"], ids=lambda text: repr(text[:4]))
def test_a_configuration_that_is_none_is_refused_in_words(
    weights: Weights, tmp_path: Path, load: Any, text: str
) -> None:
    (save("Llama", tmp_path, weights) / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json"):
        load(tmp_path)


def cut(content: bytes) -> bytes:
    return content[:-1000]


def emptied(_content: bytes) -> bytes:
    return b""


def endless_header(content: bytes) -> bytes:
    return (2**62).to_bytes(8, "little") + content[8:]


def other_bytes(content: bytes) -> bytes:
    return b"<html>" * (len(content) // 6)


@pytest.mark.parametrize("load", [of_transformers, pytest.param(of_mlx, marks=needs_mlx)])
@pytest.mark.parametrize("damage", [cut, emptied, endless_header, other_bytes], ids=lambda damage: damage.__name__)
def test_damaged_safetensors_are_refused_in_words(weights: Weights, tmp_path: Path, load: Any, damage: Any) -> None:
    file = save("Llama", tmp_path, weights) / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match="could not load"):
        load(tmp_path)


def changed(folder: Path, name: str, change: Any) -> None:
    """Another tensor in place of one of the folder's, or none."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensor = change(tensors.pop(name))
    save_file(tensors | ({} if tensor is None else {name: tensor}), folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("load", [of_transformers, pytest.param(of_mlx, marks=needs_mlx)])
def test_missing_weights_are_not_made_up(weights: Weights, tmp_path: Path, load: Any) -> None:
    name = "model.layers.1.self_attn.k_proj.weight"
    changed(save("Llama", tmp_path, weights), name, lambda _: None)
    with pytest.raises(ModelError, match=name if load is of_transformers else "could not load"):
        load(tmp_path)


@pytest.mark.parametrize("load", [of_transformers, pytest.param(of_mlx, marks=needs_mlx)])
def test_weights_that_give_no_numbers_are_refused(weights: Weights, tmp_path: Path, load: Any) -> None:
    changed(save("Llama", tmp_path, weights), "model.norm.weight", lambda tensor: tensor * float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        load(tmp_path)


def test_a_split_gguf_file_is_refused_by_transformers(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="split into 3 files"):
        of_transformers(write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9))


@pytest.mark.full
def test_a_gguf_file_keeps_its_own_tokenizer(weights: Weights) -> None:
    from speculatoviz.models.runtimes.transformers import TransformersModel

    model = TransformersModel(weights.gguf, 128, device="cpu", dtype="float32")
    assert model.description.quantisation == "F32 of GGUF"
    assert model.tokenizer.encode("<|im_end|>", special=True) == [2]
    conformance.text_survives_a_round_trip(model, 0.0)
    conformance.batches_give_the_rows_of_single_passes(model, 1e-3)
    model.close()


def test_an_unknown_device_is_refused_in_words(weights: Weights) -> None:
    from speculatoviz.models.runtimes.transformers import TransformersModel

    with pytest.raises(ModelError, match="cannot compute on 'abacus'") as refusal:
        TransformersModel(weights.folder, 128, device="abacus")
    assert "cuda" in refusal.value.hint
