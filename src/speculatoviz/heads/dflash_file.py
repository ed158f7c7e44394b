"""DFlash heads as llama.cpp reads them: GGUF files of its architecture `dflash`, checked against a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speculatoviz.errors import HeadError
from speculatoviz.heads.gguf_head import (
    OTHER_HEAD,
    Attention,
    FittingHead,
    HeadTarget,
    attention,
    check_layers,
    check_width,
    checked_vocabulary,
    integer,
    mask_token,
    open_kind,
    shares_matrices,
    target_layers,
)
from speculatoviz.models.dflash_graph import LARGEST_BLOCK, Places
from speculatoviz.models.files.gguf import GgufFile

ARCHITECTURE = "dflash"
USUAL_BLOCK = 16  # where a file states none, as in llama.cpp
MOST_LAYERS = 64
_LATER = {  # a tensor or field that only a later kind of head has, and its name
    "markov_w1.weight": "a DSpark head",
    "selector_hidden.weight": "a DFlash-2 head",
    "dflash.hyper_connection_count": "a head of DeepSeek-V4",
}


@dataclass(frozen=True, slots=True, eq=False)
class DflashFile(FittingHead):
    """places: of its blocks."""

    places: Places


def shapes(hidden: int, own: Attention, layers: int, features: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that every head has, by their names in GGUF: [rows, columns], as in PyTorch.

    hidden: D. layers: of the head. features: numbers that it reads of the target at a token.
    """
    found: dict[str, tuple[int, ...]] = {
        "fc.weight": (hidden, features),
        "enc.output_norm.weight": (hidden,),
        "output_norm.weight": (hidden,),
    }
    for layer in range(layers):
        found |= {
            f"blk.{layer}.attn_norm.weight": (hidden,),
            f"blk.{layer}.attn_q.weight": (own.heads * own.width, hidden),
            f"blk.{layer}.attn_k.weight": (own.kv_heads * own.width, hidden),
            f"blk.{layer}.attn_v.weight": (own.kv_heads * own.width, hidden),
            f"blk.{layer}.attn_output.weight": (hidden, own.heads * own.width),
            f"blk.{layer}.attn_q_norm.weight": (own.width,),
            f"blk.{layer}.attn_k_norm.weight": (own.width,),
            f"blk.{layer}.ffn_norm.weight": (hidden,),
            f"blk.{layer}.ffn_gate.weight": (own.inner, hidden),
            f"blk.{layer}.ffn_up.weight": (own.inner, hidden),
            f"blk.{layer}.ffn_down.weight": (hidden, own.inner),
        }
    return found


def read_gguf(path: Path, target: HeadTarget) -> DflashFile:
    """A head in a GGUF file. Raises HeadError if it is none, is incomplete, or does not fit the target."""
    file = open_kind(path, ARCHITECTURE, "DFlash head")
    for key, kind in _LATER.items():
        if key in file.tensors or key in file.fields:
            raise HeadError(f"{path.name} is {kind}, which is not supported.", "Choose a DFlash head.")
    layers, hidden, count = target_layers(file), integer(file, "embedding_length"), integer(file, "block_count")
    check_layers(path.name, layers, target)
    check_width(path.name, hidden, target)
    own = attention(file, hidden, count, MOST_LAYERS)
    expected = shapes(hidden, own, count, len(layers) * hidden)
    vocabulary = checked_vocabulary(file, expected, hidden, target)
    block = file.integer(f"{ARCHITECTURE}.block_size") or USUAL_BLOCK
    mask = mask_token(file, target)
    check_block(path.name, block, file.integer(f"{ARCHITECTURE}.attention.sliding_window"))
    places = Places(block, mask, causal=_flag(file, "attention.causal"), anchored=_flag(file, "sample_from_anchor"))
    return DflashFile(path, layers, vocabulary, shares_matrices(file), places)


def check_block(name: str, block: int, window: int | None) -> None:
    """Raises HeadError for a block that the head's graph cannot compute. window: of its sliding layers, in tokens."""
    if not 2 <= block <= LARGEST_BLOCK:
        raise HeadError(f"{name} drafts in blocks of {block} tokens, and blocks have 2 to {LARGEST_BLOCK}.", OTHER_HEAD)
    if window is not None and 0 < window < block:
        raise HeadError(f"The sliding window of {name}, {window} tokens, is shorter than its block.", OTHER_HEAD)


def _flag(file: GgufFile, key: str) -> bool:
    field = file.fields.get(f"{ARCHITECTURE}.{key}")
    return field is not None and field.value is True
