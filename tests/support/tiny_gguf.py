"""Tiny GGUF models with random weights, for tests of files that llama.cpp loads: 0.1 MB, written in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

Vocabulary = Literal["spm", "bpe", "none"]
Value = bool | int | float | str | list[Any] | None

LAYERS, HIDDEN, HEADS, CONTEXT = 2, 32, 2, 128
PIECES = ["\u2581a", "\u2581b", "a", "b", "c", "\u2581the", "th", "he", "\u2581", "the"]
TOKEN_TYPE = gguf.TokenType


def write_tiny(
    path: Path,
    vocabulary: Vocabulary = "spm",
    *,
    architecture: str = "llama",
    fields: Mapping[str, Value] | None = None,
    tensors: Mapping[str, np.ndarray | None] | None = None,
    types: Mapping[str, str] | None = None,
    tensors_per_part: int = 0,
    hidden: int = HIDDEN,
    layers: int = LAYERS,
    seed: int = 0,
) -> Path:
    """A llama of two layers, or more; the path of its file, or of its first part.

    fields, tensors: further ones, or other values for its own; None leaves one out. In keys of fields `{arch}` stands
    for the architecture. types: of tensors that are quantised.
    """
    split = {"split_max_tensors": tensors_per_part} if tensors_per_part else {}
    writer = gguf.GGUFWriter(path, architecture, **split)
    tokens, kinds, scores, own = _vocabulary(vocabulary)
    own |= {
        "general.name": "tiny",
        "{arch}.block_count": layers,
        "{arch}.context_length": CONTEXT,
        "{arch}.embedding_length": hidden,
        "{arch}.feed_forward_length": 2 * hidden,
        "{arch}.attention.head_count": HEADS,
        "{arch}.attention.head_count_kv": 1,
        "{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        "{arch}.rope.freq_base": 10_000.0,
        "{arch}.vocab_size": max(1, len(tokens)),
    }
    given = {**own, **(fields or {})}
    if tokens:
        given = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds} | given
    for key, value in given.items():
        _add(writer, key.replace("{arch}", architecture), value)
    if scores and "tokenizer.ggml.scores" not in given:
        writer.add_token_scores(scores)
    weights = _weights(max(1, len(tokens)), np.random.default_rng(seed), hidden, layers) | dict(tensors or {})
    for name, data in weights.items():
        if data is None:
            continue
        if name in (types or {}):
            kind = gguf.GGMLQuantizationType[(types or {})[name]]
            writer.add_tensor(name, gguf.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(path.parent.glob(f"{path.stem}-00001-of-*.gguf"))
    return parts[-1] if tensors_per_part else path


def _add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    match value:
        case None:
            return
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def _weights(n_vocab: int, rng: np.random.Generator, hidden: int, layers: int) -> dict[str, np.ndarray | None]:
    def random(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.2 * (HIDDEN / hidden) ** 0.5).astype(np.float32)

    kv, inner = hidden // HEADS, 2 * hidden
    weights: dict[str, np.ndarray | None] = {
        "token_embd.weight": random(n_vocab, hidden),
        "output_norm.weight": np.ones(hidden, np.float32),
        "output.weight": random(n_vocab, hidden),
    }
    for layer in range(layers):
        before = f"blk.{layer}."
        weights |= {
            before + "attn_norm.weight": np.ones(hidden, np.float32),
            before + "attn_q.weight": random(hidden, hidden),
            before + "attn_k.weight": random(kv, hidden),
            before + "attn_v.weight": random(kv, hidden),
            before + "attn_output.weight": random(hidden, hidden),
            before + "ffn_norm.weight": np.ones(hidden, np.float32),
            before + "ffn_gate.weight": random(inner, hidden),
            before + "ffn_up.weight": random(inner, hidden),
            before + "ffn_down.weight": random(hidden, inner),
        }
    return weights


def _vocabulary(name: Vocabulary) -> tuple[list[str], list[int], list[float], dict[str, Value]]:
    """Tokens, their types, their scores, and the fields that go with them."""
    if name == "none":
        return [], [], [], {}
    if name == "spm":
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
        types = [TOKEN_TYPE.UNKNOWN, *[TOKEN_TYPE.CONTROL] * 2, *[TOKEN_TYPE.BYTE] * 256]
        types += [TOKEN_TYPE.NORMAL] * len(PIECES)
        scores = [0.0] * 259 + [-float(place) for place in range(len(PIECES))]
        model: dict[str, Value] = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.unknown_token_id": 0}
        ends: dict[str, Value] = {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
        return tokens, [int(kind) for kind in types], scores, model | ends
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    letters = [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]
    tokens = [*letters, "th", "the", "<|end|>"]
    types = [int(TOKEN_TYPE.NORMAL)] * 258 + [int(TOKEN_TYPE.CONTROL)]
    merges: dict[str, Value] = {"tokenizer.ggml.merges": ["t h", "th e"]}
    return (
        tokens,
        types,
        [],
        merges
        | {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.eos_token_id": 258,
        },
    )
