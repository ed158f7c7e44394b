"""Keys of servers, for tests."""

from __future__ import annotations

import time

from speculatoviz.server.key_ring import KeyRing


def one_key(key: str) -> KeyRing:
    """Accepts this key and no other."""
    return KeyRing(key, None, time.time)
