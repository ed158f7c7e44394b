"""A tiny llama of eight layers on llama.cpp, the text that it writes, and EAGLE-3 heads for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speculatoviz.heads.eagle3_file import typical_layers
from speculatoviz.heads.eagle3_folder import Eagle3Head, Eagle3Shape
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.heads.rows import GgufRows
from speculatoviz.models.base import Feed
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.train.kinds import file_tensors
from speculatoviz.train.store import AUTHORS, Dialogue
from speculatoviz.train.target import TargetMatrices
from support.tiny_gguf import Value, write_tiny

LAYERS, COUNT, WIDTH, VOCABULARY = typical_layers(8), 8, 32, 269
SHAPE = Eagle3Shape(WIDTH, 4, 2, 16, 64)
PROMPT = 6  # random tokens before a text
_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}a:"


def write_target(path: Path, layers: int = COUNT) -> Path:
    """Its next token follows from the last one alone, so its text can be learned; its layers read unlike things."""
    rng = np.random.default_rng(2)
    nothing = np.zeros((WIDTH, WIDTH), np.float32)
    own = {f"blk.{layer}.attn_output.weight": nothing for layer in range(layers)}
    own["output.weight"] = rng.standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    fields: dict[str, Value] = {
        "tokenizer.chat_template": _TEMPLATE,
        "general.license": "apache-2.0",
        "{arch}.context_length": 512,
    }
    return write_tiny(path, layers=layers, tensors=own, fields=fields)


def opened(path: Path) -> LlamaCppModel:
    return LlamaCppModel(path, 2048, 1, "tiny", layers=True)


def head_target(model: LlamaCppModel) -> HeadTarget:
    return HeadTarget("tiny", model.layer_count, model.layer_width, model.tokenizer.n_vocab)


def prompt(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, VOCABULARY, PROMPT).tolist()


def written(model: LlamaCppModel, seed: int, length: int = 34) -> Dialogue:
    """A prompt and the target's greedy text, with what the passes gave that wrote it."""
    context, todo, tokens = model.open(PROMPT + length), prompt(seed), list[int]()
    states, layers = [], []
    while len(tokens) < PROMPT + length:
        row = model.forward([Feed(context, todo, hidden=True, layers=LAYERS)])[0]
        assert row.hidden is not None
        assert row.layers is not None
        states.append(row.hidden.astype(np.float16))
        layers.append(row.layers.astype(np.float16))
        tokens += todo
        todo = [int(row.logits[-1].argmax())]
    context.close()
    authors = [AUTHORS.index("template")] * PROMPT + [AUTHORS.index("answer")] * length
    return Dialogue(
        np.array(tokens, np.int32), np.array(authors, np.uint8), np.concatenate(states), np.concatenate(layers)
    )


def matrices(
    path: Path, dialogues: list[Dialogue], vocabulary: np.ndarray | None = None, also: Sequence[int] = ()
) -> TargetMatrices:
    ids = np.arange(VOCABULARY) if vocabulary is None else vocabulary
    return TargetMatrices(GgufRows(path, VOCABULARY), ids.astype(np.int32), dialogues, also=also)


def head_of(module, model: LlamaCppModel, weights=None, **card: object) -> Eagle3Head:  # type: ignore[no-untyped-def]
    """A module's weights as a head that is written. weights: others of the same names."""
    tensors = file_tensors(module, module.weights if weights is None else weights)
    ids, masked = module.target.vocabulary, getattr(module, "masked", None)
    fingerprint = model.tokenizer.fingerprint
    return Eagle3Head("tiny", fingerprint, VOCABULARY, LAYERS, module.shape, ids, tensors, 512, card, masked)
