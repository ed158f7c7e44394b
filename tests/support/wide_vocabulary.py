"""A tiny model with more tokens than bytes: words in the order of their merges, for tests of trimmed vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from support.tiny_gguf import HIDDEN, Value, write_tiny
from support.vocabularies import byte_letters

WORDS = 640  # at ids 256 to 895
UNUSED, END = 256 + WORDS, 257 + WORDS
N_VOCAB = 258 + WORDS
NORMAL, CONTROL = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL


def write_wide(
    path: Path,
    *,
    seed: int = 3,
    quantised: bool = False,
    fields: Mapping[str, Value] | None = None,
    tensors: Mapping[str, np.ndarray | None] | None = None,
) -> Path:
    """Bytes, words of two letters, an unused row and the end token. quantised: embedding and output in Q8_0."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    words = [first + second for first in alphabet for second in alphabet][:WORDS]
    rng = np.random.default_rng(seed)
    matrices = {
        name: rng.standard_normal((N_VOCAB, HIDDEN)).astype(np.float32) * np.float32(0.2)
        for name in ("token_embd.weight", "output.weight")
    }
    own: dict[str, Value] = {
        "tokenizer.ggml.tokens": [*byte_letters(), *words, "[unused]", "<|end|>"],
        "tokenizer.ggml.token_type": [int(NORMAL)] * UNUSED + [int(gguf.TokenType.UNUSED), int(CONTROL)],
        "tokenizer.ggml.merges": [f"{word[0]} {word[1]}" for word in words],
        "tokenizer.ggml.eos_token_id": END,
        "{arch}.vocab_size": N_VOCAB,
    }
    types = dict.fromkeys(matrices, "Q8_0") if quantised else None
    return write_tiny(
        path, "bpe", fields=own | dict(fields or {}), tensors=matrices | dict(tensors or {}), types=types, seed=seed
    )
