"""EAGLE-3 and P-EAGLE heads that are trained here: folders in SpecForge's layout, with a description of the training.

A folder holds model.safetensors (float16), config.json and a card, README.md. The entry `speculatoviz` of config.json
holds what other programs ignore. There are no embeddings: programs use the target's, which have the head's length D.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import HeadError, ModelError, reason_of
from speculatoviz.heads.eagle3_file import check_three_layers
from speculatoviz.heads.file import EPSILON, Shapes
from speculatoviz.heads.gguf_head import HeadTarget, check_width
from speculatoviz.heads.weights import read_weights
from speculatoviz.models.files.config import read_config

ENTRY = "speculatoviz"
CARD = "README.md"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_WIDTH, _THETA = 64, 10_000.0
_SHARING = (4, 3, 2, 1)  # query heads that share keys, as models of today have it; the first that divides their number
_BLOCK = 32  # columns of a matrix that are quantised together
_LAYER = "midlayer."
NAMES: Mapping[str, str] = {
    "fc": "fc.weight",
    "embedding_norm": _LAYER + "input_layernorm.weight",
    "state_norm": _LAYER + "hidden_norm.weight",
    "q": _LAYER + "self_attn.q_proj.weight",
    "k": _LAYER + "self_attn.k_proj.weight",
    "v": _LAYER + "self_attn.v_proj.weight",
    "o": _LAYER + "self_attn.o_proj.weight",
    "mlp_norm": _LAYER + "post_attention_layernorm.weight",
    "gate": _LAYER + "mlp.gate_proj.weight",
    "up": _LAYER + "mlp.up_proj.weight",
    "down": _LAYER + "mlp.down_proj.weight",
    "output_norm": "norm.weight",
    "output": "lm_head.weight",
    "mask_hidden": "mask_hidden",
}


@dataclass(frozen=True, slots=True)
class Eagle3Shape:
    """hidden_size: D. heads, kv_heads: of attention, of `width`. inner: of the feed-forward. theta: rotary base."""

    hidden_size: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    theta: float = _THETA

    @classmethod
    def of(cls, hidden_size: int) -> Eagle3Shape:
        """The shape of a new head for a target whose states have D numbers."""
        heads = max(1, hidden_size // _WIDTH)
        shared = next(count for count in _SHARING if heads % count == 0)
        inner = _BLOCK * max(1, round(8 / 3 * hidden_size / _BLOCK))
        return cls(hidden_size, heads, heads // shared, min(_WIDTH, hidden_size), inner)

    def tensors(self, features: int, drafted: int) -> Shapes:
        """The shapes of the weights. features: the length L * D of the inputs. drafted: K, ids of the vocabulary."""
        d, queries, keys = self.hidden_size, self.heads * self.width, self.kv_heads * self.width
        return {
            "fc": (d, features),
            "embedding_norm": (d,),
            "state_norm": (d,),
            "q": (queries, 2 * d),
            "k": (keys, 2 * d),
            "v": (keys, 2 * d),
            "o": (d, queries),
            "mlp_norm": (d,),
            "gate": (self.inner, d),
            "up": (self.inner, d),
            "down": (d, self.inner),
            "output_norm": (d,),
            "output": (drafted, d),
        }


@dataclass(frozen=True, slots=True)
class Masked:
    """Of a P-EAGLE head: the id at the places after the first one, and the tokens of a draft."""

    token: int
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Eagle3Head:
    """A head that was trained here.

    target, fingerprint, n_vocab: of the model it was trained on: its name, the hash of its vocabulary, V. layers: the
    inner layers whose inputs it reads. vocabulary int32[K], ascending: the ids it can draft. tensors: float32, by the
    names of `Eagle3Shape.tensors`, stored as float16; of a P-EAGLE head also mask_hidden float32[L * D].
    context_tokens: the target's. card: how it was trained and what was measured. masked: of a P-EAGLE head.
    """

    target: str
    fingerprint: str
    n_vocab: int
    layers: tuple[int, ...]
    shape: Eagle3Shape
    vocabulary: Ints
    tensors: Mapping[str, Floats]
    context_tokens: int = 4096
    card: Mapping[str, Any] = field(default_factory=dict)
    masked: Masked | None = None

    @property
    def kind(self) -> str:
        """What trains it."""
        return "eagle3" if self.masked is None else "p-eagle"


@dataclass(frozen=True, slots=True)
class Trained:
    """What config.json says of a training: the target's name, the hash of its vocabulary, and the card's values."""

    target: str
    fingerprint: str
    card: Mapping[str, Any]


def save(head: Eagle3Head, folder: Path, card: str, also: Callable[[Path], None] = lambda _: None) -> None:
    """Write a head into a folder beside, which then takes its place. card: in Markdown. also: adds files to the folder.

    Raises OSError or SafetensorError if it cannot be written; an older head in the folder then stays as it was.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(head, partial, card)
        also(partial)
        if folder.is_dir():
            for file in partial.iterdir():
                file.replace(folder / file.name)
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(head: Eagle3Head, folder: Path, card: str) -> None:
    ids = head.vocabulary.astype(np.int64)
    tensors: dict[str, Any] = {
        NAMES[name]: np.ascontiguousarray(tensor, np.float16) for name, tensor in head.tensors.items()
    }
    if head.masked is not None:  # as it is published: [1, 1, L * D]
        tensors["mask_hidden"] = tensors["mask_hidden"][None, None]
    tensors["d2t"] = ids - np.arange(len(ids))
    tensors["t2d"] = np.isin(np.arange(head.n_vocab), ids)
    save_file(tensors, folder / _WEIGHTS, {"format": "pt"})
    (folder / _CONFIG).write_text(json.dumps(_config(head), indent=2), encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def require_own(folder: Path) -> None:
    """Raises HeadError if the folder exists, is not empty, and holds no head that was trained here."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and trained(folder) is None):
        raise HeadError(f"{folder} holds other files.", "Name a new folder with --out.")


def trained(folder: Path) -> Trained | None:
    """The description of a head that was trained here; None for any other folder."""
    try:
        found = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))[ENTRY]
        return Trained(str(found["target"]), str(found["fingerprint"]), dict(found["card"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def check_fingerprint(name: str, head: Trained, fingerprint: str) -> None:
    """Raises HeadError if the head was trained for another vocabulary than the target's."""
    if head.fingerprint != fingerprint:
        raise HeadError(
            f"{name} was trained for {head.target}, whose vocabulary ({head.fingerprint}) is not the target's "
            f"({fingerprint}).",
            "Train one for this target with `speculatoviz train eagle3`, or choose another head.",
        )


def load(folder: Path, target: HeadTarget, fingerprint: str) -> Eagle3Head:
    """A head that was trained here, to train it further.

    Raises HeadError if the folder holds none, or one that does not fit the target.
    """
    described = trained(folder)
    if described is None:
        raise HeadError(
            f"{folder} holds no head that `speculatoviz train eagle3` or `train p-eagle` wrote.",
            "Name the folder of one with --begin-with.",
        )
    check_fingerprint(folder.name, described, fingerprint)
    weights = read_weights(folder)
    try:
        config = read_config(folder)
        shape = Eagle3Shape(
            hidden_size=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            kv_heads=int(config["num_key_value_heads"]),
            width=int(config["head_dim"]),
            inner=int(config["intermediate_size"]),
            theta=float(config["rope_theta"]),
        )
        masked = Masked(int(config["ptd_token_id"]), int(config["para_depths"])) if "ptd_token_id" in config else None
        layers = tuple(int(layer) + 1 for layer in config["eagle_config"]["eagle_aux_hidden_state_layer_ids"])
        ids = (weights["d2t"] + np.arange(len(weights["d2t"]))).astype(np.int32)
        wanted = NAMES.items() if masked else NAMES.items() - {("mask_hidden", "mask_hidden")}
        tensors = {name: weights[stored] for name, stored in wanted}
        if masked is not None:
            tensors["mask_hidden"] = tensors["mask_hidden"].reshape(-1)
        context_tokens = int(config["max_position_embeddings"])
    except (ModelError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise HeadError(
            f"{folder} is damaged ({reason_of(error)}).", "Begin with another head, or from the start."
        ) from error
    check_three_layers(folder.name, layers, target)
    check_width(folder.name, shape.hidden_size, target)
    return Eagle3Head(
        described.target,
        fingerprint,
        target.n_vocab,
        layers,
        shape,
        ids,
        tensors,
        context_tokens,
        described.card,
        masked,
    )


def _config(head: Eagle3Head) -> dict[str, Any]:
    shape, masked = head.shape, head.masked
    of_masks = {} if masked is None else {"ptd_token_id": masked.token, "para_depths": masked.depth}
    return {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "target_hidden_size": shape.hidden_size,
        "intermediate_size": shape.inner,
        "num_hidden_layers": 1,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.width,
        "max_position_embeddings": head.context_tokens,
        "rms_norm_eps": EPSILON,
        "rope_theta": shape.theta,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": head.n_vocab,
        "draft_vocab_size": len(head.vocabulary),
        # vLLM reads this list, and counts layers by their inputs.
        "eagle_aux_hidden_state_layer_ids": list(head.layers),
        # SpecForge and SGLang read this one, and count by outputs: layer 1's output is the input of layer 2.
        "eagle_config": {
            "eagle_aux_hidden_state_layer_ids": [layer - 1 for layer in head.layers],
            "use_aux_hidden_state": True,
        },
        **of_masks,
        ENTRY: asdict(Trained(head.target, head.fingerprint, dict(head.card))),
    }
