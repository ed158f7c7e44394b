"""Files of draft heads: safetensors, with a description as JSON in the metadata. No code can be in them."""

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
from speculatoviz.errors import HeadError, reason_of

HeadKind = Literal["eagle", "medusa"]
Shapes = Mapping[str, tuple[int, ...]]

EPSILON = 1e-5  # of the heads' norms: x / sqrt(mean(x^2) + EPSILON) * weight (Zhang and Sennrich 2019)
_VOCABULARY = "vocabulary"
_TRAIN = "Train one for this target with `speculatoviz train`, or choose another file."
_MOST_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class HeadFile:
    """Draft heads as they are stored.

    kind: eagle or medusa. target, fingerprint: the name of the model they were trained on, and of its vocabulary.
    hidden_size: D. vocabulary int32[K], ascending: the ids they can draft. tensors: float32, stored as float16.
    numbers: hyperparameters that the shapes do not give. card: how they were trained and what was measured.
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
        """A hyperparameter. Raises HeadError if it is missing or not from `least` to `most`."""
        value = self.numbers.get(name)
        if not isinstance(value, int | float) or not least <= value <= most:
            raise HeadError(f"The head's {name} is {value!r}, not from {least:g} to {most:g}.", _TRAIN)
        return value

    def require(self, shapes: Shapes) -> None:
        """Raises HeadError unless the tensors have exactly these names and shapes."""
        require_shapes(self.tensors, shapes, self.kind)


def require_shapes(tensors: Mapping[str, Floats], shapes: Shapes, kind: str) -> None:
    """Raises HeadError unless the tensors of a head of that kind have exactly these names and shapes."""
    for name, shape in shapes.items():
        found = tensors.get(name)
        if found is None or found.shape != shape:
            has = "missing" if found is None else f"of shape {list(found.shape)}"
            raise HeadError(f"The head's {name} is {has}, not of shape {list(shape)}.", _TRAIN)
    if surplus := sorted(tensors.keys() - shapes.keys()):
        raise HeadError(f"The head has a tensor {surplus[0]!r} that {kind} heads do not have.", _TRAIN)


def save(head: HeadFile, path: Path) -> None:
    """Write the file under another name, then rename it: a file with its name is whole.

    Raises OSError or SafetensorError if it cannot be written.
    """
    described = {name: getattr(head, name) for name in ("kind", "target", "fingerprint", "hidden_size")}
    described |= {"numbers": dict(head.numbers), "card": dict(head.card)}
    tensors = {name: np.ascontiguousarray(tensor, np.float16) for name, tensor in head.tensors.items()}
    partial = path.with_name(path.name + ".partial")
    save_file({**tensors, _VOCABULARY: head.vocabulary}, partial, {"speculatoviz": json.dumps(described)})
    partial.replace(path)


def load(path: Path, kind: HeadKind, fingerprint: str, hidden_size: int, n_vocab: int) -> HeadFile:
    """The heads in a file, checked against a target.

    kind: expected. fingerprint, hidden_size, n_vocab: the target's. Raises HeadError if the file cannot be read, holds
    other heads, or heads for another target.
    """
    head = read(path)
    if head.kind != kind:
        raise HeadError(
            f"{path.name} holds {head.kind} heads, not {kind} heads.",
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
        raise HeadError(f"{path.name} drafts ids that the target does not have.", _TRAIN)
    return head


def read(path: Path) -> HeadFile:
    """The heads in a file, for whatever target. Raises HeadError if it holds none."""
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
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        reason = reason_of(error)
        raise HeadError(
            f"{path} is not a file of draft heads ({reason}).",
            "Name a safetensors file that `speculatoviz train` wrote.",
        ) from error
    _check(path, head)
    return head


def _check(path: Path, head: HeadFile) -> None:
    if head.kind not in get_args(HeadKind):
        raise HeadError(f"{path.name} holds heads of an unknown kind, {head.kind!r}.", _TRAIN)
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
            raise HeadError(f"The head's {name} holds numbers that are not finite.", _TRAIN)
