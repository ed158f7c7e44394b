"""What the header of a GGUF file tells about its use: a causal language model, with a tokenizer, or neither.

llama.cpp ends the process for some files that are neither, so they are refused before it sees them.
"""

from __future__ import annotations

from speculatoviz.errors import ModelError
from speculatoviz.models.files.gguf import GgufFile

MOST_LAYERS = 512  # LLAMA_MAX_LAYERS

_ENCODER_DECODERS = frozenset({"t5"})
_ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
_DIFFUSION = frozenset({"dream", "llada", "llada-moe", "rnd1"})
_DRAFT_HEADS = frozenset({"eagle3", "dflash", "dspark"})
_VOCODERS = frozenset({"wavtokenizer-dec"})
_NO_TOKENIZER = frozenset({"none", "no_vocab"})
_OTHER_CONTENTS = {  # general.type
    "mmproj": "a projector for images or audio (mmproj)",
    "adapter": "an adapter (LoRA)",
    "imatrix": "an importance matrix",
}
_CHOOSE = "Choose a causal language model: one that predicts the next token from those before it."


def require_decoder(file: GgufFile) -> None:
    """Raises ModelError unless the header describes a causal language model with weights and a tokenizer."""
    require_vocabulary(file)
    architecture = file.architecture or ""
    for names, what in (
        (_ENCODER_DECODERS, "an encoder-decoder model"),
        (_ENCODERS, "an encoder, which computes embeddings and predicts no text"),
        (_DIFFUSION, "a diffusion model, which does not write from left to right"),
        (_VOCODERS, "a decoder of audio, not a language model"),
        (_DRAFT_HEADS, "a draft head for llama.cpp's own speculation, not a model that runs alone"),
    ):
        if architecture in names:
            raise ModelError(f"{file.path} is {what} ({architecture}).", _CHOOSE)
    causal = file.fields.get(f"{architecture}.attention.causal")
    if causal is not None and causal.value is False:
        raise ModelError(f"{file.path} is a model whose tokens attend to later ones ({architecture}).", _CHOOSE)
    if not file.tensors:
        raise ModelError(f"{file.path} holds a vocabulary and no weights.", "Name the model's file with its weights.")
    layers = file.fields.get(f"{architecture}.block_count")
    if layers is not None and not 0 < (file.integer(f"{architecture}.block_count") or 0) <= MOST_LAYERS:
        raise ModelError(
            f"{file.path} announces {layers.value!r} layers ({architecture}.block_count).",
            f"Choose a model with 1 to {MOST_LAYERS} layers, or fetch the file again.",
        )


def require_vocabulary(file: GgufFile) -> None:
    """Raises ModelError unless the header names an architecture of language models and holds a tokenizer."""
    contents = _OTHER_CONTENTS.get(file.text("general.type") or "")
    if file.architecture == "clip":
        contents = _OTHER_CONTENTS["mmproj"]
    if contents:
        raise ModelError(f"{file.path} is {contents}, not a language model.", "Name the model's own GGUF file.")
    if file.architecture is None:
        raise ModelError(f"{file.path} does not name its architecture.", _CHOOSE)
    kind, tokens = file.text("tokenizer.ggml.model"), file.fields.get("tokenizer.ggml.tokens")
    if kind is None or kind in _NO_TOKENIZER or tokens is None or not tokens.item_type or tokens.count == 0:
        raise ModelError(
            f"{file.path} holds no tokenizer.",
            "Choose a GGUF file of this model that was converted with its tokenizer.",
        )
