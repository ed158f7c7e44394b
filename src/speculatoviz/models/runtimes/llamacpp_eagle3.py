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
from speculatoviz.errors import ModelError
from speculatoviz.models.eagle3_graph import MOST_PAIRS, SEQUENCES, Pair
from speculatoviz.models.gguf_log import capture_log
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

_NEEDED = ("llama_process", "llama_batch_ext_init", "llama_batch_ext_set_embd_token")
_FUSE, _DECODE = 0, 1  # LLAMA_PROCESS_TYPE_ENCODE, LLAMA_PROCESS_TYPE_DECODE


class LlamaCppEagle3:
    """A head that is loaded: see `models.eagle3_graph.Eagle3Graph`.

    path: a GGUF file of llama.cpp's architecture eagle3, checked before (`heads.eagle3_file`): the library ends the
    process for some malformed ones. vocabulary int32[K], ascending: the ids of its logits. cells: pairs that it can
    hold. shared: the target, whose embedding and output matrix it uses if it has none of its own. Raises ModelError if
    the library cannot load it, or is of a version without these functions.
    """

    def __init__(
        self, path: Path, vocabulary: Ints, cells: int, threads: int, shared: LlamaCppModel | None = None
    ) -> None:
        log = capture_log(lib)
        require_extension(path.name)
        self._companion = None if shared is None else shared.open_companion()
        self._model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        self._context = lib.llama_init_from_model(self._model, self._params(cells, threads)) if self._model else None
        if not self._context:
            self._free()
            raise ModelError(f"llama.cpp could not load the head {path}{log.reason()}.", "Choose another head.")
        columns = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model)))
        self._begin(int(lib.llama_model_n_embd(self._model)), columns, vocabulary)

    def _begin(self, hidden_size: int, columns: int, vocabulary: Ints) -> None:
        """Of a context that is open. columns: the logits that the library computes for a row."""
        self.hidden_size, self._columns, self.vocabulary = hidden_size, columns, vocabulary
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_ext_init(self._context)
        extension().llama_set_embeddings_nextn(self._context, True, True)
        self._closed = False

    def fuse(self, features: Floats) -> Floats:
        """g float32[n, D] of the inputs of the target's layers, float32[n, 3 * D of the target]; n up to MOST_PAIRS."""
        lib.llama_batch_ext_clear(self._batch)
        features = np.ascontiguousarray(features, np.float32)
        # The encoder reads no positions, but the library wants them to go on from those of the cache.
        after = 1 + int(lib.llama_memory_seq_pos_max(self._memory, 0))
        for place, row in enumerate(features, after):
            index = lib.llama_batch_ext_add_embd(self._batch, 0, _row(row))
            lib.llama_batch_ext_set_pos(self._batch, index, _position(place))
            lib.llama_batch_ext_set_output_logits(self._batch, index, True)
        self._process(_FUSE, len(features))
        return self._states(len(features))

    def decode(self, pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
        """One pass. Logits float32[w, K] and states float32[w, D] of the w wanted pairs, copied."""
        lib.llama_batch_ext_clear(self._batch)
        wanted = [place for place, pair in enumerate(pairs) if pair.wanted]
        states = [np.ascontiguousarray(pair.state, np.float32) for pair in pairs]  # read when the pass is computed
        for pair, state in zip(pairs, states, strict=True):
            index = lib.llama_batch_ext_add_token(self._batch, pair.sequence, pair.token)
            lib.llama_batch_ext_set_embd_token(self._batch, index, _row(state))
            lib.llama_batch_ext_set_pos(self._batch, index, _position(pair.position))
            # The graph computes every row. Where only some are asked for, version 0.3.36 returns the first ones.
            lib.llama_batch_ext_set_output_logits(self._batch, index, bool(wanted))
        self._process(_DECODE, len(pairs))
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

    def close(self) -> None:
        """Free its memory; a second call does nothing."""
        if not self._closed:
            self._closed = True
            lib.llama_batch_ext_free(self._batch)
            self._free()

    def _process(self, kind: int, pairs: int) -> None:
        code = int(lib.llama_process(self._context, kind, self._batch))
        if code != 0:
            raise ModelError(
                f"llama.cpp refused a pass of the head over {pairs} tokens (code {code}).",
                "Lower the context size, or choose another drafter.",
            )

    def _states(self, rows: int) -> Floats:
        pointer = extension().llama_get_embeddings_nextn(self._context)
        return np.ctypeslib.as_array(pointer, shape=(rows, self.hidden_size)).copy()

    def _params(self, cells: int, threads: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = max(cells, SEQUENCES) + MOST_PAIRS
        params.n_batch = params.n_ubatch = MOST_PAIRS
        params.n_seq_max, params.kv_unified = SEQUENCES, True
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        if self._companion is not None:
            params.ctx_other = self._companion
        return params

    def _free(self) -> None:
        for free, handle in (
            (lib.llama_free, self._context),
            (lib.llama_model_free, self._model),
            (lib.llama_free, self._companion),
        ):
            if handle:
                free(handle)


def require_extension(name: str) -> None:
    """Raises ModelError unless this version of the library has what a head needs."""
    lacking = [name for name in _NEEDED if not hasattr(lib, name)]
    try:
        extension()
    except (ImportError, AttributeError) as error:
        lacking.append(str(error))
    if lacking:
        raise ModelError(
            f"This version of llama.cpp cannot compute the head {name} ({lacking[0]} is missing).",
            "Run `pip install 'speculatoviz[llamacpp]'`, or choose another drafter.",
        )


def extension() -> Any:
    """Bindings of functions that llama.cpp marks as experimental."""
    from llama_cpp import llama_cpp_ext

    return llama_cpp_ext


def _row(row: Floats) -> Any:
    return lib.llama_embd(row.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), 1, len(row))


def _position(position: int) -> Any:
    return (ctypes.c_int32 * 1)(position)
