"""A digest of token ids, by which two prompts are known to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def prompt_digest(ids: Sequence[int]) -> str:
    """SHA-256 of token ids as little-endian int32, in hexadecimal digits."""
    return hashlib.sha256(np.asarray(ids, "<i4").tobytes()).hexdigest()
