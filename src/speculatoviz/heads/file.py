"""A file of draft heads: safetensors with the numbers that describe it in its metadata. Nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import HeadError

HeadKind = Literal["eagle", "medusa"]
Shapes = Mapping[str, tuple[int, ...]]

_VOCABULARY = "vocabulary"
_TRAIN = "Train one for this target with `speculatoviz train`, or choose another file."
_MOST_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class HeadFile:
    """Heads as they are stored.

    target, fingerprint: the model they were trained on, and its tokenizer's. vocabulary int32[K], ascending: the ids
    they can say. numbers: what a kind needs beside the shapes. tensors: float32, stored as float16. card: how they
    were trained and what was measured, for people.
    """

    kind: HeadKind
    target: str
    fingerprint: str
    hidden_size: int
    vocabulary: Ints
    tensors: Mapping[str, Floats]
    numbers: Mapping[str, float] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str, least: float, most: float) -> float:
        """Raises HeadError where it is missing or out of range."""
        value = self.numbers.get(name)
        if not isinstance(value, int | float) or not least <= value <= most:
            raise HeadError(f"The head's {name} is {value!r}, not from {least:g} to {most:g}.", _TRAIN)
        return value

    def require(self, shapes: Shapes) -> None:
        """Raises HeadError unless the tensors are exactly these, of these shapes."""
        for name, shape in shapes.items():
            found = self.tensors.get(name)
            if found is None or found.shape != shape:
                has = "missing" if found is None else f"of shape {list(found.shape)}"
                raise HeadError(f"The head's {name} is {has}, not of shape {list(shape)}.", _TRAIN)
        if surplus := sorted(self.tensors.keys() - shapes.keys()):
            raise HeadError(f"The head has a tensor {surplus[0]!r} that a head of its kind does not have.", _TRAIN)


def save(head: HeadFile, path: Path) -> None:
    """Write it under another name and rename: what has its name is whole."""
    described = {name: getattr(head, name) for name in ("kind", "target", "fingerprint", "hidden_size")}
    described |= {"numbers": dict(head.numbers), "card": dict(head.card)}
    tensors = {name: np.ascontiguousarray(tensor, np.float16) for name, tensor in head.tensors.items()}
    partial = path.with_name(path.name + ".partial")
    save_file({**tensors, _VOCABULARY: head.vocabulary}, partial, {"speculatoviz": json.dumps(described)})
    partial.replace(path)


def load(path: Path, kind: HeadKind, fingerprint: str, hidden_size: int, n_vocab: int) -> HeadFile:
    """The head for a target with this tokenizer and these hidden states.

    Raises HeadError where it is no safetensors file, no head, of another kind, or for another target.
    """
    head = read(path)
    if head.kind != kind:
        raise HeadError(
            f"{path.name} holds heads of kind {head.kind}, not {kind}.",
            f"Name a file of {kind} heads, or train {head.kind}.",
        )
    if head.fingerprint != fingerprint:
        raise HeadError(
            f"{path.name} was trained for {head.target}, whose vocabulary ({head.fingerprint}) is not the target's "
            f"({fingerprint}).",
            _TRAIN,
        )
    if head.hidden_size != hidden_size:
        raise HeadError(
            f"{path.name} was trained for {head.target}, whose hidden states have {head.hidden_size} numbers; the "
            f"target's have {hidden_size}.",
            _TRAIN,
        )
    if head.vocabulary[-1] >= n_vocab:
        raise HeadError(f"{path.name} says ids that the target does not have.", _TRAIN)
    return head


def read(path: Path) -> HeadFile:
    """Whatever head the file holds. Raises HeadError."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        described = json.loads(metadata["speculatoviz"])
        vocabulary = tensors.pop(_VOCABULARY)
        head = HeadFile(
            kind=described["kind"],
            target=str(described["target"]),
            fingerprint=str(described["fingerprint"]),
            hidden_size=int(described["hidden_size"]),
            vocabulary=vocabulary,
            tensors={name: tensor.astype(np.float32) for name, tensor in tensors.items()},
            numbers=cast(dict[str, float], dict(described["numbers"])),
            card=dict(described["card"]),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise HeadError(
            f"{path} is not a file of draft heads ({reason}).",
            "Name a safetensors file that `speculatoviz train` wrote.",
        ) from error
    _check(path, head)
    return head


def _check(path: Path, head: HeadFile) -> None:
    if head.kind not in get_args(HeadKind):
        raise HeadError(f"{path.name} holds heads of a kind {head.kind!r} that is not known.", _TRAIN)
    ids = head.vocabulary
    if (
        ids.ndim != 1
        or ids.dtype != np.int32
        or not 0 < len(ids) <= _MOST_ROWS
        or ids[0] < 0
        or (ids[1:] <= ids[:-1]).any()
    ):
        raise HeadError(f"The vocabulary of {path.name} is not a list of ascending ids.", _TRAIN)
    for name, tensor in head.tensors.items():
        if not np.isfinite(tensor).all():
            raise HeadError(f"The head's {name} holds what is no number.", _TRAIN)
