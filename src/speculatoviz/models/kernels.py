"""Which kernels of a library compute a pass, as far as its settings decide.

A library chooses a kernel by the number of rows that it computes at once, and kernels round differently. Within the
limits of one `Kernels` all rows can be computed alike; `measure.invariance` proves whether they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from speculatoviz.models.base import PREFILL_TOKENS
from speculatoviz.models.files.names import Runtime

# From 32 rows on, ik_llama.cpp converts some weights to 8 bits first. With Q4_1 and Q5_1 the end of rows is lost then,
# if their length is no multiple of 128. Three times this number is a pass of PREFILL_TOKENS.
IK_MOST_ROWS = 22


@dataclass(frozen=True, slots=True)
class Kernels:
    """fewest, most: rows that are computed at once; a larger pass is computed in parts, a smaller part is padded.

    repacked: weights are rearranged when they are loaded, for faster kernels. values: the number format of the values
    in the KV cache; keys are f16.
    """

    fewest: int = 1
    most: int = PREFILL_TOKENS
    repacked: bool = True
    values: Literal["f16", "bf16"] = "f16"

    def padding(self, rows: int) -> int:
        """How many rows a pass of `rows` lacks, so that its last part has at least `fewest`."""
        last = rows % self.most
        return self.fewest - last if 0 < last < self.fewest else 0


DEFAULT: dict[Runtime, Kernels] = {"llamacpp": Kernels(), "ik": Kernels(most=IK_MOST_ROWS)}

# In the order in which they are tried: the ones that cost least first.
CANDIDATES: dict[Runtime, tuple[Kernels, ...]] = {
    # With keys and values of one type, attention has other kernels for a single row after 256 tokens, and from 64 rows
    # on. F32, F16 and Q8_0 weights have another kernel for a single row. Repacked weights have other kernels from four
    # rows on, plain ones from eight rows on.
    "llamacpp": (
        Kernels(values="bf16"),
        Kernels(values="bf16", fewest=2),
        Kernels(values="bf16", most=3),
        Kernels(values="bf16", most=7, repacked=False),
    ),
    # A single row has a kernel of its own, with some types of weights.
    "ik": (Kernels(most=IK_MOST_ROWS), Kernels(fewest=2, most=IK_MOST_ROWS)),
}
