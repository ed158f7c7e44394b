"""EAGLE-3 and P-EAGLE heads as llama.cpp reads them: GGUF files of its architecture `eagle3`, checked against a target.

A P-EAGLE head has three further fields, which llama.cpp does not read: see `Masks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError
from speculatoviz.heads.gguf_head import (
    OTHER_HEAD,
    OTHER_TARGET,
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
from speculatoviz.models.files.gguf import GgufFile

ARCHITECTURE = "eagle3"
TYPICAL_LAYERS = 3
MASK_STATE, DEPTH = f"{ARCHITECTURE}.parallel.mask_hidden", f"{ARCHITECTURE}.parallel.depth"
USUAL_DEPTH, MOST_DEPTH = 8, 32  # tokens of a draft, where a head states none, and at most


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """The places of a draft of a P-EAGLE head, after the first one.

    token: the id there. state float32[3 * D of the target]: takes the place of the inputs of the target's layers.
    depth: the tokens of a draft.
    """

    token: int
    state: Floats
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Eagle3File(FittingHead):
    """masks: of a P-EAGLE head."""

    masks: Masks | None = None


def typical_layers(count: int) -> tuple[int, int, int]:
    """The inner layers that heads read by default, of a target with `count` layers (as in the EAGLE repository)."""
    return 2, count // 2, count - 3


def shapes(hidden: int, heads: int, kv_heads: int, width: int, inner: int, features: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that every head has, by their names in GGUF: [rows, columns], as in PyTorch.

    hidden: D. heads, kv_heads: of attention, each of `width`. inner: of the feed-forward. features: 3 D of the target.
    """
    return {
        "fc.weight": (hidden, features),
        "output_norm.weight": (hidden,),
        "blk.0.attn_norm.weight": (hidden,),
        "blk.0.attn_norm_2.weight": (hidden,),
        "blk.0.attn_q.weight": (heads * width, 2 * hidden),
        "blk.0.attn_k.weight": (kv_heads * width, 2 * hidden),
        "blk.0.attn_v.weight": (kv_heads * width, 2 * hidden),
        "blk.0.attn_output.weight": (hidden, heads * width),
        "blk.0.ffn_norm.weight": (hidden,),
        "blk.0.ffn_gate.weight": (inner, hidden),
        "blk.0.ffn_up.weight": (inner, hidden),
        "blk.0.ffn_down.weight": (hidden, inner),
    }


def read_gguf(path: Path, target: HeadTarget) -> Eagle3File:
    """A head in a GGUF file. Raises HeadError if it is none, is incomplete, or does not fit the target."""
    file = open_kind(path, ARCHITECTURE, "EAGLE-3 head")
    layers, hidden = target_layers(file), integer(file, "embedding_length")
    check_three_layers(path.name, layers, target)
    check_width(path.name, integer(file, "target_hidden_size"), target)
    own = attention(file, hidden, integer(file, "block_count"), most=1)
    expected = shapes(hidden, own.heads, own.kv_heads, own.width, own.inner, TYPICAL_LAYERS * target.hidden_size)
    vocabulary = checked_vocabulary(file, expected, hidden, target)
    shares = shares_matrices(file)
    if shares and hidden != target.hidden_size:
        raise HeadError(
            f"{path.name} has no embeddings of its own, and its states of {hidden} numbers do not fit those of "
            f"{target.name}, which have {target.hidden_size}.",
            OTHER_TARGET,
        )
    return Eagle3File(path, layers, vocabulary, shares, _masks(file, target))


def _masks(file: GgufFile, target: HeadTarget) -> Masks | None:
    field = file.fields.get(MASK_STATE)
    if field is None:
        return None
    state = np.array(field.value, np.float32)
    return check_masks(file.path.name, mask_token(file, target), state, file.integer(DEPTH) or USUAL_DEPTH, target)


def check_masks(name: str, token: int, state: Floats, depth: int, target: HeadTarget) -> Masks:
    """The masks of a P-EAGLE head. Raises HeadError if they do not fit the target."""
    if state.shape != (TYPICAL_LAYERS * target.hidden_size,) or not np.isfinite(state).all():
        wanted = TYPICAL_LAYERS * target.hidden_size
        raise HeadError(f"The mask_hidden of {name} is no list of {wanted} finite numbers.", OTHER_HEAD)
    if not 1 <= depth <= MOST_DEPTH:
        raise HeadError(f"{name} drafts {depth} tokens at once, and heads draft 1 to {MOST_DEPTH}.", OTHER_HEAD)
    return Masks(token, state, depth)


def check_three_layers(name: str, layers: tuple[int, ...], target: HeadTarget) -> None:
    """Raises HeadError unless these are three inner layers of the target."""
    if len(layers) != TYPICAL_LAYERS:
        raise HeadError(f"{name} reads {len(layers)} layers of its target, not {TYPICAL_LAYERS}.", OTHER_HEAD)
    check_layers(name, layers, target)
