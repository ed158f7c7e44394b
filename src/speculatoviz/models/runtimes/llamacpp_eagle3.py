"""llama.cpp's own graph of an EAGLE-3 head, in a context beside the target's.

The head has two graphs. The encoder fuses the inputs of the target's inner layers: g = W f, float32[D]. The decoder is
one layer over pairs of a token and a state, which is g, or the layer's own output for the pair before. D is the length
of the head's states, V the target's vocabulary, K the head's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.models.eagle3_graph import MOST_PAIRS, SEQUENCES, Pair
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_head import (
    DECODE,
    ENCODE,
    LlamaCppHead,
    context_params,
    embedding,
    extension,
)


class LlamaCppEagle3(LlamaCppHead):
    """A head that is loaded: see `models.eagle3_graph.Eagle3Graph`.

    path: a GGUF file of llama.cpp's architecture eagle3, checked before (`heads.eagle3_file`): the library ends the
    process for some malformed ones. vocabulary int32[K], ascending: the ids of its logits. cells: pairs that it can
    hold. shared: the target or its file, whose embedding and output matrix it uses if it has none of its own. Raises
    ModelError if the library cannot load it, or is of a version without these functions.
    """

    def __init__(
        self, path: Path, vocabulary: Ints, cells: int, threads: int, shared: LlamaCppModel | Path | None = None
    ) -> None:
        self._load(path, self._params(cells, threads), shared)
        columns = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model)))
        self._begin(int(lib.llama_model_n_embd(self._model)), columns, vocabulary)

    def _begin(self, hidden_size: int, columns: int, vocabulary: Ints) -> None:
        """Of a context that is open. columns: the logits that the library computes for a row."""
        self.hidden_size, self._columns, self.vocabulary = hidden_size, columns, vocabulary
        self._open()
        extension().llama_set_embeddings_nextn(self._context, True, True)

    def fuse(self, features: Floats) -> Floats:
        """g float32[n, D] of the inputs of the target's layers, float32[n, 3 * D of the target]; n up to MOST_PAIRS."""
        lib.llama_batch_ext_clear(self._batch)
        features = np.ascontiguousarray(features, np.float32)
        # The encoder reads no positions, but the library wants them to go on from those of the cache.
        after = 1 + int(lib.llama_memory_seq_pos_max(self._memory, 0))
        for place, row in enumerate(features, after):
            index = lib.llama_batch_ext_add_embd(self._batch, 0, embedding(row))
            lib.llama_batch_ext_set_pos(self._batch, index, _position(place))
            lib.llama_batch_ext_set_output_logits(self._batch, index, True)
        self._process(ENCODE, len(features))
        return self._states(len(features))

    def decode(self, pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
        """One pass. Logits float32[w, K] and states float32[w, D] of the w wanted pairs, copied."""
        lib.llama_batch_ext_clear(self._batch)
        wanted = [place for place, pair in enumerate(pairs) if pair.wanted]
        states = [np.ascontiguousarray(pair.state, np.float32) for pair in pairs]  # read when the pass is computed
        for pair, state in zip(pairs, states, strict=True):
            index = lib.llama_batch_ext_add_token(self._batch, pair.sequence, pair.token)
            lib.llama_batch_ext_set_embd_token(self._batch, index, embedding(state))
            lib.llama_batch_ext_set_pos(self._batch, index, _position(pair.position))
            # The graph computes every row. Where only some are asked for, version 0.3.36 returns the first ones.
            lib.llama_batch_ext_set_output_logits(self._batch, index, bool(wanted))
        self._process(DECODE, len(pairs))
        if not wanted:
            return np.empty((0, len(self.vocabulary)), np.float32), np.empty((0, self.hidden_size), np.float32)
        logits = np.ctypeslib.as_array(lib.llama_get_logits(self._context), shape=(len(pairs), self._columns))
        return logits[wanted][:, self.vocabulary], self._states(len(pairs))[wanted]

    def branch(self, source: int, sequence: int) -> None:
        """Let `sequence` see all pairs of `source`."""
        lib.llama_memory_seq_cp(self._memory, source, sequence, -1, -1)

    def drop(self, sequence: int) -> None:
        """Remove a sequence of a draft."""
        lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def keep(self, length: int) -> None:
        """Rewind to the first `length` committed pairs, and drop all other sequences."""
        lib.llama_memory_seq_keep(self._memory, 0)
        lib.llama_memory_seq_rm(self._memory, 0, length, -1)

    def _states(self, rows: int) -> Floats:
        pointer = extension().llama_get_embeddings_nextn(self._context)
        return np.ctypeslib.as_array(pointer, shape=(rows, self.hidden_size)).copy()

    def _params(self, cells: int, threads: int) -> Any:
        return context_params(max(cells, SEQUENCES) + MOST_PAIRS, MOST_PAIRS, SEQUENCES, threads)


def _position(position: int) -> Any:
    return (ctypes.c_int32 * 1)(position)
