"""Files of EAGLE-3 heads: what is read from a folder and from GGUF, what is shared, and every refusal in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from speculatoviz.errors import HeadError
from speculatoviz.heads import eagle3_published
from speculatoviz.heads.conversion import target_name
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.eagle3_file import read_gguf
from speculatoviz.heads.eagle3_published import converted, rounded
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.heads.weights import read_weights
from speculatoviz.models.runtimes import llamacpp_head
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3
from support import tiny_eagle3
from support.broken_heads import Change, put, without
from support.tiny_eagle3 import HIDDEN, LAYERS, TARGET, VOCABULARY, Definition, head, ids, weights, write
from support.tiny_gguf import write_tiny

COUNT = 5
NEAR = 0.03


def read_head(folder: Path, target: HeadTarget = TARGET) -> Any:
    return read_gguf(converted(folder, target, folder.parent, "F32"), target)


def test_layers_are_counted_by_inputs_or_outputs_or_left_to_the_target(tmp_path: Path) -> None:
    assert read_head(write(tmp_path / "a", "speculators")).layers == LAYERS
    assert json.loads((write(tmp_path / "b", "specforge") / "config.json").read_text())["eagle_config"] == {
        "eagle_aux_hidden_state_layer_ids": [1, 3, 4],
        "use_aux_hidden_state": True,
    }
    assert read_head(tmp_path / "b").layers == LAYERS
    unstated = write(tmp_path / "c", changes={"eagle_config": {}})
    target = HeadTarget("larger", 30, TARGET.hidden_size, TARGET.n_vocab)
    assert read_head(unstated, target).layers == (2, 15, 27)


def test_a_head_is_written_once_and_anew_for_another_target(tmp_path: Path) -> None:
    folder = write(tmp_path / "head")
    first = converted(folder, TARGET, tmp_path)
    written = first.stat().st_mtime_ns
    assert converted(folder, TARGET, tmp_path) == first
    assert first.stat().st_mtime_ns == written
    assert converted(folder, HeadTarget("other", 9, TARGET.hidden_size, TARGET.n_vocab), tmp_path) != first
    write(tmp_path / "head", tensors=weights(seed=1))
    assert converted(folder, TARGET, tmp_path) != first


def test_heads_of_narrow_targets_are_stored_in_8_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 bits cost them acceptance. What is stored is what training scores."""
    folder = write(tmp_path / "head")
    for narrow, kind in ((TARGET.hidden_size, "Q8_0"), (TARGET.hidden_size - 1, "Q4_0")):
        monkeypatch.setattr(eagle3_published, "_NARROW", narrow)
        stored = {t.name: t.tensor_type.name for t in gguf.GGUFReader(converted(folder, TARGET, tmp_path)).tensors}
        assert stored["blk.0.attn_v.weight"] == stored["blk.0.ffn_up.weight"] == kind
        up = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
        name = "midlayer.mlp.up_proj.weight"
        of_kind = gguf.GGMLQuantizationType[kind]
        expected = gguf.dequantize(gguf.quantize(up, of_kind), of_kind)
        np.testing.assert_array_equal(rounded({name: up}, TARGET.hidden_size)[name], expected)


def test_a_head_that_drafts_every_id_needs_no_list(tmp_path: Path) -> None:
    own = weights(vocabulary=np.arange(TARGET.n_vocab))
    del own["d2t"], own["t2d"]
    assert read_head(write(tmp_path / "head", tensors=own)).vocabulary.tolist() == list(range(TARGET.n_vocab))


def test_ids_come_from_the_marks_where_there_is_no_list(tmp_path: Path) -> None:
    own = weights()
    del own["d2t"]
    assert read_head(write(tmp_path / "head", tensors=own)).vocabulary.tolist() == VOCABULARY.tolist()


@pytest.mark.parametrize("kind", ["BF16", "F16"])
def test_half_precision_is_read(tmp_path: Path, kind: str) -> None:
    """NumPy has no bfloat16, and published heads are stored in it."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    types = {"BF16": torch.bfloat16, "F16": torch.float16}
    given = torch.tensor([[1.5, -2.25, 3e-5], [65504.0, 0.0, -1.0]]).to(types[kind])
    save_file({"w": given, "d2t": torch.tensor([3, 4]), "t2d": torch.tensor([True, False])}, tmp_path / "a.safetensors")
    found = read_weights(tmp_path)
    assert np.array_equal(found["w"], given.float().numpy())
    assert (found["d2t"].tolist(), found["t2d"].tolist()) == ([3, 4], [True, False])


@pytest.mark.parametrize("mapped", [False, True], ids=["a model on llama.cpp", "a file that is mapped"])
def test_the_target_s_embeddings_are_shared(tmp_path: Path, mapped: bool) -> None:
    """A head without its own reads those of its target; with rolled ones it would compute something else."""
    pytest.importorskip("torch")
    path = write_tiny(tmp_path / "tiny.gguf")
    model = LlamaCppModel(path, 64)
    target = HeadTarget("tiny", model.layer_count, model.layer_width, model.tokenizer.n_vocab)
    assert target.hidden_size == HIDDEN
    own = weights(target=target)
    embeddings = np.array(gguf.GGUFReader(path).get_tensor(0).data)
    assert embeddings.shape == (target.n_vocab, HIDDEN)
    del own["embed_tokens.weight"]
    file = head(tmp_path / "head", target=target, tensors=own, changes={"target_hidden_size": HIDDEN} | _layers(target))
    assert file.shares
    graph = LlamaCppEagle3(file.path, file.vocabulary, 64, 1, path if mapped else model)
    tokens, inputs = ids(COUNT + 1, n_vocab=target.n_vocab).tolist(), tiny_eagle3.features(COUNT, target=target)
    logits, _ = Eagle3Cache(graph).append(inputs, tokens, last=True)
    graph.close()
    graph.close()
    model.close()
    right, _ = Definition(own | {"embed_tokens.weight": embeddings}).path(inputs, tokens, [])
    assert np.abs(logits - right).max() < NEAR
    rolled = np.roll(embeddings, 1, axis=0)
    wrong, _ = Definition(own | {"embed_tokens.weight": rolled}).path(inputs, tokens, [])
    assert np.abs(logits - wrong).max() > NEAR


def _layers(target: HeadTarget) -> dict[str, Any]:
    return {"vocab_size": target.n_vocab, "eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 0, 0]}}


def test_the_name_of_the_target_is_read(tmp_path: Path) -> None:
    assert target_name(write(tmp_path / "a", "speculators")) == "maker/Tiny"
    assert target_name(write(tmp_path / "b", "eagle")) is None


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (HeadTarget("wide", 8, 64, 60), "states have 24 numbers; those of wide have 64"),
        (HeadTarget("shallow", 5, 24, 60), "reads the layers 2, 4, 5, and shallow has 5"),
        (HeadTarget("large", 8, 24, 60_000), "vocabulary of 60 ids; that of large has 60000"),
        (HeadTarget("padded", 8, 24, 80), "do not cover the 80 ids of padded"),
        (HeadTarget("small", 8, 24, 40), "no list of different ids of small"),
    ],
)
def test_a_head_of_another_target_is_refused(tmp_path: Path, target: HeadTarget, words: str) -> None:
    folder = write(tmp_path / "head", "specforge")
    with pytest.raises(HeadError, match=words):
        read_head(folder, target)
    assert not list(tmp_path.rglob("*.part")), "nothing half written is left"
    path = converted(folder, TARGET, tmp_path, "F32")
    if target.name != "padded":
        with pytest.raises(HeadError, match=words):
            read_gguf(path, target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("fc.weight"), r"fc\.weight of head is missing"),
        (without("d2t"), None),
        (put("fc.weight", np.zeros((HIDDEN, 5), np.float32)), r"of shape \[32, 5\], not of shape \[32, 72\]"),
        (put("midlayer.self_attn.q_norm.weight", np.zeros(4, np.float32)), "which an EAGLE-3 head does not have"),
        (put("d2t", np.zeros(10, np.int64)), "contradict each other"),
        (put("d2t", np.zeros((2, 5), np.int64)), "describes no EAGLE-3 head"),
        (put("d2t", np.full(10, -7)), "no list of different ids"),
        (put("norm.weight", np.full(HIDDEN, np.nan, np.float32)), "not finite"),
    ],
)
def test_tensors_that_make_no_head_are_refused(tmp_path: Path, change: Change, words: str | None) -> None:
    own = weights()
    change(own)
    folder = write(tmp_path / "head", tensors=own)
    if words is None:
        read_head(folder)
        return
    with pytest.raises(HeadError, match=words):
        read_head(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 2}, "more than one layer"),
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "the activation gelu"),
        ({"norm_before_fc": True}, "a norm before its fusion"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "positions of the type yarn"),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, 2]}}, "reads 2 layers"),
        ({"eagle_config": {"use_aux_hidden_state": False}}, "no inner layers"),
        ({"hidden_size": None}, "describes no EAGLE-3 head"),
        ({"eagle_config": [1, 2, 3]}, "describes no EAGLE-3 head"),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": ["a", 2, 3]}}, "describes no EAGLE-3 head"),
        ({"rope_scaling": {"type": "linear"}}, "describes no EAGLE-3 head: 'factor' is missing"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            "EAGLE-3 head: 'low_freq_factor' is missing",
        ),
        ({"hidden_size": -3}, "hidden_size as '-3'"),
    ],
)
def test_a_configuration_of_something_else_is_refused(tmp_path: Path, changes: Mapping[str, Any], words: str) -> None:
    with pytest.raises(HeadError, match=words):
        read_head(write(tmp_path / "head", changes=changes))


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "head")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(HeadError, match="cannot be read"):
        read_head(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(HeadError, match="holds no safetensors"):
        read_head(folder)
    with pytest.raises(HeadError, match="is no EAGLE-3 head, but llama"):
        read_gguf(write_tiny(tmp_path / "tiny.gguf"), TARGET)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and nothing")
    with pytest.raises(HeadError, match="cannot be read as a GGUF file"):
        read_gguf(tmp_path / "bad.gguf", TARGET)


def test_a_library_without_the_functions_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = head(tmp_path / "head")
    monkeypatch.setattr(llamacpp_head, "_NEEDED", ("llama_process", "llama_gone"))
    with pytest.raises(Exception, match=r"cannot compute the head .* \(llama_gone is missing\)"):
        tiny_eagle3.graph(file)


_PLAIN = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


def published_gguf(
    folder: Path, ids_type: type = np.int64, **changes: Any
) -> tuple[Path, HeadTarget, dict[str, np.ndarray]]:
    """A head in GGUF with the tokenizer of its target, as llama.cpp's converter writes it; the target; its weights."""
    vocabulary = gguf.GGUFReader(write_tiny(folder / "vocabulary.gguf")).get_field("tokenizer.ggml.tokens")
    assert vocabulary is not None
    target = HeadTarget("tiny", TARGET.layers, TARGET.hidden_size, len(vocabulary.data))
    own = weights(target=target)
    folder_of_head = write(folder / "head", tensors=own, changes={"vocab_size": target.n_vocab})
    written = gguf.GGUFReader(converted(folder_of_head, target, folder, "F32"))
    tensors: dict[str, np.ndarray | None] = {t.name: np.array(t.data).reshape(t.shape[::-1]) for t in written.tensors}
    tensors["d2t"] = np.asarray(tensors["d2t"]).astype(ids_type)
    plain = [f"blk.{layer}.{name}.weight" for layer in range(2) for name in _PLAIN]
    fields = {
        "block_count": 1,
        "feed_forward_length": tiny_eagle3.INNER,
        "attention.head_count": tiny_eagle3.HEADS,
        "attention.head_count_kv": tiny_eagle3.KV_HEADS,
        "attention.key_length": tiny_eagle3.WIDTH,
        "attention.value_length": tiny_eagle3.WIDTH,
        "rope.dimension_count": tiny_eagle3.WIDTH,
        "rope.freq_base": tiny_eagle3.THETA,
        "attention.layer_norm_rms_epsilon": tiny_eagle3.EPS,
        "target_layers": list(LAYERS),
        "target_hidden_size": target.hidden_size,
        "vocab_size": None,
    } | changes
    path = write_tiny(
        folder / "published.gguf",
        architecture="eagle3",
        fields={f"{{arch}}.{key}": value for key, value in fields.items()},
        tensors=tensors | dict.fromkeys(name for name in plain if name not in tensors),
    )
    return path, target, own


def test_a_file_of_llama_cpp_s_converter_is_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path, target, own = published_gguf(tmp_path)
    file = read_gguf(path, target)
    assert (file.layers, file.vocabulary.tolist()) == (LAYERS, VOCABULARY.tolist())
    made = tiny_eagle3.graph(file)
    tokens, inputs = ids(COUNT + 1, n_vocab=target.n_vocab).tolist(), tiny_eagle3.features(COUNT)
    logits, _ = Eagle3Cache(made).append(inputs, tokens, last=True)
    made.close()
    right, _ = Definition(own).path(inputs, tokens, [])
    assert np.abs(logits - right).max() < NEAR


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block_count": 2}, "describes 2 layers"),
        ({"attention.value_length": 8}, "heads of 16 and 8 numbers"),
        ({"attention.head_count_kv": 3}, "3 of them for keys"),
        ({"attention.head_count": 2}, "attn_q.weight of published.gguf is of shape"),
        ({"feed_forward_length": 47}, "ffn_gate.weight of published.gguf is of shape"),
        ({"target_layers": None}, "does not state the layers"),
        ({"target_layers": [1, 2]}, "reads 2 layers"),
        ({"target_hidden_size": None}, r"no number eagle3\.target_hidden_size"),
        ({"target_hidden_size": 48}, "states have 48 numbers"),
        ({"embedding_length": 16}, "is of shape"),
    ],
)
def test_a_gguf_file_that_would_end_the_process_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path, target, _ = published_gguf(tmp_path, **changes)
    with pytest.raises(HeadError, match=words):
        read_gguf(path, target)


def test_draft_ids_of_another_type_are_refused(tmp_path: Path) -> None:
    """Read as 64-bit integers they would be other ids, which can be valid ones."""
    path, target, _ = published_gguf(tmp_path, np.int32)
    with pytest.raises(HeadError, match=r"d2t.* are no 64-bit integers"):
        read_gguf(path, target)
