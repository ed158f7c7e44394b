"""Files of DFlash heads: what is read from a folder and from GGUF, what is shared, and every refusal in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from speculatoviz.errors import HeadError
from speculatoviz.heads.dflash import DflashCache
from speculatoviz.heads.dflash_file import DflashFile, read_gguf
from speculatoviz.heads.dflash_published import converted, is_dflash
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from support import tiny_dflash
from support.broken_heads import Change, put, without
from support.tiny_dflash import BLOCK, COUNT, LAYERS, MASK, TARGET, VOCABULARY, Definition, graph, weights, write
from support.tiny_eagle3 import features as three_layers
from support.tiny_gguf import write_tiny

ROWS = 5
NEAR = 0.03


def read_head(folder: Path, target: HeadTarget = TARGET) -> DflashFile:
    return read_gguf(converted(folder, target, folder.parent, "F32"), target)


def test_layers_are_counted_by_outputs_or_inputs(tmp_path: Path) -> None:
    """The two layouts state the same layers with other numbers."""
    assert read_head(write(tmp_path / "a", "z-lab")).layers == LAYERS
    assert read_head(write(tmp_path / "b", "speculators")).layers == LAYERS
    shifted = {"dflash_config": {"mask_token_id": MASK, "target_layer_ids": list(LAYERS)}}
    assert read_head(write(tmp_path / "c", "z-lab", changes=shifted)).layers == tuple(layer + 1 for layer in LAYERS)


def test_the_numbers_of_a_block_are_found_in_either_place(tmp_path: Path) -> None:
    nested = {"mask_token_id": 3, "block_size": 8, "target_layer_ids": [1, 3, 4]}
    places = read_head(write(tmp_path / "a", changes={"dflash_config": nested, "block_size": 4})).places
    assert (places.block, places.mask) == (8, 3)
    flat = {"dflash_config": {}, "mask_token_id": 3, "block_size": 8, "target_layer_ids": [1, 3, 4]}
    assert read_head(write(tmp_path / "b", changes=flat)).places == places
    unstated = {"dflash_config": {"mask_token_id": 3, "target_layer_ids": [1, 3, 4]}, "block_size": None}
    assert read_head(write(tmp_path / "c", changes=unstated)).places.block == 16


def test_a_head_is_told_from_one_of_another_kind(tmp_path: Path) -> None:
    from support import tiny_eagle3

    assert is_dflash(tiny_dflash.config("z-lab"))
    assert is_dflash(tiny_dflash.config("speculators"))
    assert is_dflash({"architectures": ["DFlash2DraftModel"]}), "so that it is refused by its own name"
    for layout in ("eagle", "specforge", "speculators"):
        assert not is_dflash(tiny_eagle3.config(layout))
    with pytest.raises(HeadError, match=r"is no DFlash head, but eagle3"):
        read_gguf(tiny_eagle3.head(tmp_path / "head").path, TARGET)


@pytest.mark.parametrize("mapped", [False, True], ids=["a model on llama.cpp", "a file that is mapped"])
def test_the_target_s_matrices_are_shared(tmp_path: Path, mapped: bool) -> None:
    """As published, a head has neither embeddings nor an output matrix; with rolled ones it computes something else."""
    pytest.importorskip("torch")
    path = write_tiny(tmp_path / "tiny.gguf")
    model = LlamaCppModel(path, 64)
    target = HeadTarget("tiny", 8, model.layer_width, model.tokenizer.n_vocab)
    own = weights(0, target, [])
    for name in ("embed_tokens.weight", "lm_head.weight", "d2t", "t2d"):
        del own[name]
    file = tiny_dflash.head(tmp_path / "head", target=target, tensors=own)
    assert file.shares
    assert file.vocabulary.tolist() == list(range(target.n_vocab))
    made = graph(file, 64, path if mapped else model)
    cache, inputs = DflashCache(made), three_layers(ROWS, target=target)
    cache.append(inputs)
    logits = cache.block(7)
    made.close()
    made.close()
    model.close()
    named = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}
    matrices = {
        "embed_tokens.weight": named["token_embd.weight"],
        "lm_head.weight": named["output.weight"],
    }
    assert np.abs(logits - Definition(own | matrices).block(inputs, 7)[1:]).max() < NEAR
    for name, matrix in matrices.items():
        rolled = matrices | {name: np.roll(matrix, 1, axis=0)}
        assert np.abs(logits - Definition(own | rolled).block(inputs, 7)[1:]).max() > NEAR


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (HeadTarget("wide", 8, 64, 60), "states have 32 numbers; those of wide have 64"),
        (HeadTarget("shallow", 5, 32, 60), "reads the layers 2, 4, 5, and shallow has 5"),
        (HeadTarget("large", 8, 32, 60_000), "vocabulary of 60 ids; that of large has 60000"),
        (HeadTarget("padded", 8, 32, 80), "do not cover the 80 ids of padded"),
        (HeadTarget("small", 8, 32, 40), "no list of different ids of small"),
    ],
)
def test_a_head_of_another_target_is_refused(tmp_path: Path, target: HeadTarget, words: str) -> None:
    folder = write(tmp_path / "head")
    with pytest.raises(HeadError, match=words):
        read_head(folder, target)
    assert not list(tmp_path.rglob("*.part")), "nothing half written is left"
    path = converted(folder, TARGET, tmp_path, "F32")
    if target.name != "padded":
        with pytest.raises(HeadError, match=words):
            read_gguf(path, target)


def test_a_head_without_matrices_needs_exactly_the_target_s_ids(tmp_path: Path) -> None:
    """llama.cpp ends the process where the target's output matrix has other rows than the head's vocabulary."""
    own = weights()
    for name in ("embed_tokens.weight", "lm_head.weight", "d2t", "t2d"):
        del own[name]
    path = converted(write(tmp_path / "head", tensors=own), TARGET, tmp_path, "F32")
    assert read_gguf(path, TARGET).shares
    for n_vocab in (58, 62):
        with pytest.raises(HeadError, match=f"knows 60 ids, and other has {n_vocab}"):
            read_gguf(path, HeadTarget("other", 8, 32, n_vocab))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("fc.weight"), r"fc\.weight of head is missing"),
        (without("layers.1.self_attn.q_norm.weight"), r"blk\.1\.attn_q_norm\.weight of head is missing"),
        (put("fc.weight", np.zeros((32, 5), np.float32)), r"of shape \[32, 5\], not of shape \[32, 96\]"),
        (put("layers.0.attention_conv.base_kernel", np.zeros(4, np.float32)), "which a DFlash head does not have"),
        (put("candidate_selector.hidden_projection.weight", np.zeros(4, np.float32)), "a DFlash head does not have"),
        (put("d2t", np.zeros(10, np.int64)), "contradict each other"),
        (put("d2t", np.full(10, -7)), "no list of different ids"),
        (put("norm.weight", np.full(32, np.nan, np.float32)), "not finite"),
    ],
)
def test_tensors_that_make_no_head_are_refused(tmp_path: Path, change: Change, words: str) -> None:
    own = weights()
    change(own)
    with pytest.raises(HeadError, match=words):
        read_head(write(tmp_path / "head", tensors=own))


def of_a_block(**changes: Any) -> dict[str, Any]:
    return {"dflash_config": {"mask_token_id": MASK, "target_layer_ids": [1, 3, 4]} | changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (of_a_block(mask_token_id=None), "does not state its mask token"),
        (of_a_block(mask_token_id=60), "mask token of head is 60, and the vocabulary of tiny has 60 ids"),
        (of_a_block(mask_token_id=[9]), "describes no DFlash head"),
        (of_a_block(block_size=1), "in blocks of 1 tokens, and blocks have 2 to 64"),
        (of_a_block(block_size=65), "in blocks of 65 tokens"),
        (of_a_block(target_layer_ids=None), "does not state the layers"),
        (of_a_block(target_layer_ids=[]), "reads the layers of an empty list"),
        (of_a_block(target_layer_ids=[1, 3, 7]), "reads the layers 2, 4, 8, and tiny has 8"),
        (of_a_block(target_layer_ids=[1, 3]), r"fc\.weight of head is of shape \[32, 96\]"),
        (of_a_block(selector_rank=16), r"a selector \(DFlash-2\)"),
        (of_a_block(input_embedding_scale=2.0), "scaled embeddings"),
        (of_a_block(final_logit_softcapping=30.0), "capped scores"),
        ({"markov_rank": 8}, r"a Markov matrix \(DSpark\)"),
        ({"projector_type": "domino"}, "a projector domino"),
        ({"attention_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "the activation gelu"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "positions of the type yarn"),
        ({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}, "one kind only"),
        ({"layer_types": ["sliding_attention"] * 2, "sliding_window": 4}, "is shorter than its block"),
        ({"layer_types": ["full_attention"]}, "has 2 layers, and states the attention of 1"),
        ({"num_hidden_layers": 3}, r"blk\.2\.attn_norm\.weight of head is missing"),
        ({"num_hidden_layers": 900}, "has 900 layers"),
        ({"hidden_size": 16, "target_hidden_size": 32}, "has states of 16 numbers"),
        ({"hidden_size": None}, "describes no DFlash head"),
        ({"dflash_config": [1]}, "describes no DFlash head"),
    ],
)
def test_configurations_that_make_no_head_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadError, match=words):
        read_head(write(tmp_path / "head", changes=changes))


# --- GGUF ---------------------------------------------------------------------------------------------


def published_gguf(folder: Path, **changes: Any) -> tuple[Path, HeadTarget, dict[str, np.ndarray]]:
    """A head in GGUF with the tokenizer of its target, as llama.cpp's converter writes it; the target; its weights."""
    vocabulary = gguf.GGUFReader(write_tiny(folder / "vocabulary.gguf")).get_field("tokenizer.ggml.tokens")
    assert vocabulary is not None
    target = HeadTarget("tiny", TARGET.layers, TARGET.hidden_size, len(vocabulary.data))
    own = weights(target=target)
    written = gguf.GGUFReader(converted(write(folder / "head", tensors=own, target=target), target, folder, "F32"))
    tensors: dict[str, np.ndarray | None] = {t.name: np.array(t.data).reshape(t.shape[::-1]) for t in written.tensors}
    tensors["d2t"] = np.asarray(tensors["d2t"]).astype(np.int64)
    extra = changes.pop("tensors", {})
    fields = {
        "dflash.block_count": COUNT,
        "dflash.feed_forward_length": tiny_dflash.INNER,
        "dflash.attention.head_count": tiny_dflash.HEADS,
        "dflash.attention.head_count_kv": tiny_dflash.KV_HEADS,
        "dflash.attention.key_length": tiny_dflash.WIDTH,
        "dflash.attention.value_length": tiny_dflash.WIDTH,
        "dflash.rope.dimension_count": tiny_dflash.WIDTH,
        "dflash.rope.freq_base": tiny_dflash.THETA,
        "dflash.attention.layer_norm_rms_epsilon": tiny_dflash.EPS,
        "dflash.target_layers": list(LAYERS),
        "dflash.block_size": BLOCK,
        "dflash.vocab_size": None,
        "tokenizer.ggml.mask_token_id": MASK,
    }
    path = write_tiny(
        folder / "published.gguf",
        architecture="dflash",
        fields={key.replace("dflash.", "{arch}."): value for key, value in (fields | changes).items()},
        tensors=tensors | extra,
    )
    return path, target, own


def test_a_file_of_llama_cpp_s_converter_is_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path, target, own = published_gguf(tmp_path)
    file = read_gguf(path, target)
    assert (file.layers, file.vocabulary.tolist()) == (LAYERS, VOCABULARY.tolist())
    inputs = three_layers(ROWS, target=TARGET)
    right = Definition(own).block(inputs, 33)[1:]
    assert np.abs(of_file(file, inputs) - right).max() < NEAR


def test_a_file_for_positions_in_sections_computes_the_same(tmp_path: Path) -> None:
    """Drafters of targets with M-RoPE carry sections, of which text uses the first."""
    pytest.importorskip("torch")
    sections = [tiny_dflash.WIDTH // 2, 0, 0, 0]
    path, target, own = published_gguf(tmp_path, **{"dflash.rope.dimension_sections": sections})
    inputs = three_layers(ROWS, target=TARGET)
    right = Definition(own).block(inputs, 33)[1:]
    assert np.abs(of_file(read_gguf(path, target), inputs) - right).max() < NEAR


def of_file(file: DflashFile, inputs: np.ndarray) -> np.ndarray:
    made = graph(file)
    cache = DflashCache(made)
    cache.append(inputs)
    logits = cache.block(33)
    made.close()
    return logits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dflash.block_count": 900}, "describes 900 layers"),
        ({"dflash.attention.value_length": 8}, "heads of 16 and 8 numbers"),
        ({"dflash.attention.head_count_kv": 3}, "3 of them for keys"),
        ({"dflash.attention.head_count": 2}, r"attn_q\.weight of published\.gguf is of shape"),
        ({"dflash.feed_forward_length": 47}, r"ffn_gate\.weight of published\.gguf is of shape"),
        ({"dflash.target_layers": None}, r"does not state the layers it reads \(dflash\.target_layers\)"),
        ({"dflash.target_layers": [1, 9]}, "reads the layers 1, 9"),
        ({"dflash.embedding_length": 16}, "states have 16 numbers"),
        ({"dflash.block_size": 99}, "in blocks of 99 tokens"),
        ({"tokenizer.ggml.mask_token_id": None}, "does not state its mask token"),
        ({"tokenizer.ggml.mask_token_id": 5000}, "mask token of published.gguf is 5000"),
        ({"dflash.hyper_connection_count": 4}, "a head of DeepSeek-V4, which is not supported"),
        ({"tensors": {"markov_w1.weight": np.zeros((60, 8), np.float32)}}, "is a DSpark head"),
        ({"tensors": {"selector_hidden.weight": np.zeros((8, 32), np.float32)}}, "is a DFlash-2 head"),
        ({"tensors": {"enc.output_norm.weight": None}}, r"enc\.output_norm\.weight of published\.gguf is missing"),
    ],
)
def test_a_gguf_file_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path, target, _ = published_gguf(tmp_path, **changes)
    with pytest.raises(HeadError, match=words):
        read_gguf(path, target)
