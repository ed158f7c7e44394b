"""How much memory llama.cpp's recurrent states may take: each sequence has one, and one more for each snapshot."""

from __future__ import annotations

from typing import NamedTuple

from speculatoviz.models.files.gguf import GgufFile
from speculatoviz.models.rewinder import CHECKPOINTS

MOST_BYTES = 3 << 29  # 1.5 GiB
MOST_SNAPSHOTS = 8  # tokens of a draft that can be rolled back
_CONTEXTS = 2  # a target or a draft model, and one beside it for measurements
_MOST_CONTEXTS = 8


class StateMemory(NamedTuple):
    """sequences: of the cache. snapshots: of each; 0 if they do not fit, or the architecture has none."""

    sequences: int
    snapshots: int


def plan_states(file: GgufFile) -> StateMemory:
    """As many as fit: snapshots first, because they make a rewind free, then contexts."""
    state, least = max(1, _state_bytes(file)), (1 + CHECKPOINTS) * _CONTEXTS
    snapshots = MOST_SNAPSHOTS if least * (1 + MOST_SNAPSHOTS) * state <= MOST_BYTES else 0
    contexts = MOST_BYTES // ((1 + CHECKPOINTS) * (1 + snapshots) * state)
    return StateMemory((1 + CHECKPOINTS) * min(_MOST_CONTEXTS, max(_CONTEXTS, contexts)), snapshots)


def _state_bytes(file: GgufFile) -> int:
    """At most what one sequence takes, in float32: every layer counts as a recurrent one."""

    def number(key: str) -> int:
        return file.integer(f"{file.architecture}.{key}") or 0

    width, inner, state = number("embedding_length"), number("ssm.inner_size"), number("ssm.state_size")
    convolution = max(0, number("ssm.conv_kernel") - 1) * (inner + 2 * number("ssm.group_count") * state)
    short = max(0, number("shortconv.l_cache") - 1) * width
    attention = width * (number("wkv.head_size") + 2) if number("wkv.head_size") else 0
    return 4 * number("block_count") * (inner * state + convolution + short + attention)
