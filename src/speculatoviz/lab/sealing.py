"""The hash of a JSON document, which shows that it is as it was written; who wrote it, it does not show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"  # the field with the hash of all others


def content_hash(values: Mapping[str, Any]) -> str:
    """The SHA-256 of all fields but the seal, in one form whatever the file's spaces and the order of its keys."""
    content = {key: value for key, value in values.items() if key != SEAL}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Whether the seal belongs to the other fields."""
    return content_hash(values) == values.get(SEAL)
