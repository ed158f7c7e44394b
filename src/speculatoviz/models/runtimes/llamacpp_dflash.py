"""llama.cpp's own graph of a DFlash head, in a context beside the target's.

It has two kinds of passes. One over inputs of the target's inner layers computes the keys and values of committed
tokens, and no logits. The other one, over tokens, computes a block: its keys and values are added to those of the
committed tokens, and are removed after the pass.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.models.dflash_graph import MOST_ROWS, Places
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_head import DECODE, LlamaCppHead, context_params, embedding

_ROTATED = 3  # of the four numbers of a position with sections (M-RoPE): text has the same in the first three


class LlamaCppDflash(LlamaCppHead):
    """A head that is loaded: see `models.dflash_graph.DflashGraph`.

    path: a GGUF file of llama.cpp's architecture dflash, checked before (`heads.dflash_file`). vocabulary int32[K],
    ascending: the ids of its logits. places: of its blocks. cells: committed tokens that it can hold. shared: the
    target or its file, whose embedding and output matrix it uses if it has none of its own. Raises ModelError if
    the library cannot load it, or is of a version without these functions.
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Ints,
        places: Places,
        cells: int,
        threads: int,
        shared: LlamaCppModel | Path | None = None,
    ) -> None:
        self._load(path, context_params(cells + MOST_ROWS, MOST_ROWS, 1, threads), shared)
        self._open()
        lib.llama_set_causal_attn(self._context, places.causal)
        self.vocabulary, self._places = vocabulary, places
        self._columns = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model)))
        self._whole = len(vocabulary) == self._columns
        self._sections = int(lib.llama_model_rope_type(self._model)) == lib.LLAMA_ROPE_TYPE_MROPE

    @property
    def drafted(self) -> int:
        """B: the tokens that a block predicts."""
        return self._places.drafted

    def read(self, features: Floats, position: int) -> None:
        """Add committed tokens from `position` on: the inputs of the target's layers, float32[n, F], n to MOST_ROWS."""
        lib.llama_batch_ext_clear(self._batch)
        features = np.ascontiguousarray(features, np.float32)  # read when the pass is computed
        for place, row in enumerate(features, position):
            self._place(lib.llama_batch_ext_add_embd(self._batch, 0, embedding(row)), place, wanted=False)
        self._process(DECODE, len(features))

    def block(self, token: int, position: int) -> Floats:
        """Logits float32[B, K] of the B tokens after the last committed one, which is `token` at `position`, copied."""
        lib.llama_batch_ext_clear(self._batch)
        count = self._places.block
        for place, own in enumerate([token] + [self._places.mask] * (count - 1), position):
            self._place(lib.llama_batch_ext_add_token(self._batch, 0, own), place, wanted=True)
        self._process(DECODE, count)
        logits = np.ctypeslib.as_array(lib.llama_get_logits(self._context), shape=(count, self._columns))
        rows = logits[-self.drafted :]
        found: Floats = rows.copy() if self._whole else rows[:, self.vocabulary]
        self.keep(position)
        return found

    def keep(self, length: int) -> None:
        """Rewind to the first `length` committed tokens."""
        lib.llama_memory_seq_rm(self._memory, 0, length, -1)

    def _place(self, index: int, position: int, *, wanted: bool) -> None:
        numbers = [position] * _ROTATED + [0] if self._sections else [position]
        lib.llama_batch_ext_set_pos(self._batch, index, _positions(numbers))
        lib.llama_batch_ext_set_output_logits(self._batch, index, wanted)


def _positions(numbers: list[int]) -> Any:
    return (ctypes.c_int32 * len(numbers))(*numbers)
