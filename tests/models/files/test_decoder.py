"""What is no causal language model, or has no tokenizer, is refused by its header alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.files.decoder import MOST_LAYERS, require_decoder, require_vocabulary
from speculatoviz.models.files.gguf import read
from support.tiny_gguf import write_tiny

NOT_DECODERS = {
    "t5": "encoder-decoder",
    "bert": "computes embeddings",
    "gemma-embedding": "computes embeddings",
    "llada": "diffusion",
    "eagle3": "draft head",
    "dflash": "draft head",
    "wavtokenizer-dec": "audio",
    "clip": "mmproj",
}
ODD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "later tokens": ({"{arch}.attention.causal": False}, "attend to later ones"),
    "no layers": ({"{arch}.block_count": 0}, "announces 0 layers"),
    "many layers": ({"{arch}.block_count": 2**31}, "announces 2147483648 layers"),
    "layers as text": ({"{arch}.block_count": "two"}, "announces 'two' layers"),
    "adapter": ({"general.type": "adapter"}, "LoRA"),
    "projector": ({"general.type": "mmproj"}, "mmproj"),
    "no tokenizer": ({"tokenizer.ggml.model": None}, "holds no tokenizer"),
    "empty tokenizer": ({"tokenizer.ggml.model": "no_vocab"}, "holds no tokenizer"),
    "no tokens": ({"tokenizer.ggml.tokens": None}, "holds no tokenizer"),
    "tokens as number": ({"tokenizer.ggml.tokens": 7}, "holds no tokenizer"),
}


def test_a_language_model_is_accepted(tmp_path: Path) -> None:
    for layers in (2, MOST_LAYERS):
        file = read(write_tiny(tmp_path / "tiny.gguf", fields={"{arch}.block_count": layers}))
        require_decoder(file)
        require_vocabulary(file)


@pytest.mark.parametrize(("architecture", "words"), NOT_DECODERS.items())
def test_other_architectures_are_refused(tmp_path: Path, architecture: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        require_decoder(read(write_tiny(tmp_path / "tiny.gguf", architecture=architecture)))


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_odd_fields_are_refused(tmp_path: Path, name: str) -> None:
    fields, words = ODD_FIELDS[name]
    with pytest.raises(ModelError, match=words):
        require_decoder(read(write_tiny(tmp_path / "tiny.gguf", fields=fields)))


def test_a_vocabulary_alone_is_no_model(tmp_path: Path) -> None:
    weights = read(write_tiny(tmp_path / "whole.gguf")).tensors
    file = read(write_tiny(tmp_path / "tiny.gguf", tensors=dict.fromkeys(weights)))
    require_vocabulary(file)
    with pytest.raises(ModelError, match="no weights"):
        require_decoder(file)


@pytest.mark.parametrize("architecture", ["t5", "bert"])
def test_the_vocabulary_of_another_architecture_can_be_used(tmp_path: Path, architecture: str) -> None:
    require_vocabulary(read(write_tiny(tmp_path / "tiny.gguf", architecture=architecture)))
