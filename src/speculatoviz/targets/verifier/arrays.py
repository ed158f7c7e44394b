"""Arrays as fields of bytes, little-endian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Ints
from speculatoviz.targets.verifier.wire import WireError

MISMATCH = "Use the same version of SpeculatoViz on both sides."


def pack(ids: Sequence[int] | Ints) -> bytes:
    """Ids as little-endian int32."""
    return np.asarray(ids, "<i4").tobytes()


def unpack(raw: bytes) -> list[int]:
    """Ids from little-endian int32. Raises WireError for a length that is no multiple of 4."""
    return [int(token) for token in array(raw, "<i4").tolist()]


def array(raw: bytes, dtype: str) -> npt.NDArray[Any]:
    """The numbers of a field. Raises WireError for a length that is no multiple of theirs."""
    if len(raw) % np.dtype(dtype).itemsize:
        raise WireError("A field of numbers has an incomplete one at its end.", MISMATCH)
    return np.frombuffer(raw, dtype)
