"""The tensors of a folder of safetensors as NumPy arrays, of number formats that NumPy lacks too. No code is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from speculatoviz.errors import HeadError, reason_of

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BOOL": "?"}


def read_weights(folder: Path) -> dict[str, Any]:
    """Every tensor by its name; floating-point numbers as float32. Raises HeadError if a file cannot be read."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise HeadError(
            f"{folder} holds no safetensors.",
            "Choose a head that has them, or convert it: pickled weights can run code when they are loaded.",
        )
    weights: dict[str, Any] = {}
    for file in files:
        try:
            for name, described in deserialize(file.read_bytes()):  # type: ignore[no-untyped-call]
                weights[name] = _array(described["dtype"], described["data"]).reshape(described["shape"])
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            reason = reason_of(error)
            raise HeadError(f"{file} cannot be read ({reason}).", "Fetch the head again.") from error
    return weights


def _array(kind: str, data: bytes) -> Any:
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    array = np.frombuffer(data, _TYPES[kind])
    return array.astype(np.float32) if kind.startswith("F") else array
