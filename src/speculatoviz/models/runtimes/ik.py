"""ik_llama.cpp through `ik_api`: row-interleaved weights, for which a pass over several rows costs less.

The weights are rearranged when they are loaded, so they are read into memory instead of mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Capability, Feed, check_layers
from speculatoviz.models.files.decoder import require_decoder
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.gguf_log import ErrorLog, capture_log
from speculatoviz.models.kernels import DEFAULT
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.runtimes.ik_api import VERSION, IkLibrary, library
from speculatoviz.models.runtimes.sequence_contexts import cannot_rewind
from speculatoviz.models.runtimes.sequences import SequenceModel, view
from speculatoviz.models.runtimes.trimmed import TrimmedVocabulary
from speculatoviz.models.runtimes.watched import STATES, WatchedTensors, input_of
from speculatoviz.models.tokenizers.llamacpp import LlamaCppTokenizer, VocabularyFile

TITLE = "ik_llama.cpp"
_MOST_MOVES = 64  # of the cells of a cache, each of a limited number of cells
_GAPS = -100  # instead of a code of the library


class IkModel(SequenceModel):
    """A GGUF file, whole or split, loaded into memory.

    path: the file, or its first part. cells: tokens that all contexts can hold together. threads: of a forward pass, by
    default all cores. name: for display. source: the file that a trimmed file was made of (`files/trim.py`). watched:
    feeds may ask for hidden states and for the inputs of inner layers, which costs every pass some time (`watched`).
    Raises ModelError if the file is no causal language model, cannot be loaded, or cannot rewind.

    ik_llama.cpp ends the process for some malformed files. `gguf_trial.require_loadable` finds them first.
    """

    runtime: Runtime = "ik"
    title = TITLE
    version = VERSION
    provides: frozenset[Capability] = frozenset({"trees"})

    def __init__(
        self,
        path: Path,
        cells: int = 4096,
        threads: int | None = None,
        name: str | None = None,
        source: Path | None = None,
        *,
        watched: bool = False,
    ) -> None:
        self.path, self._source = path, source
        self.threads = threads or usable_cores()
        file = read(path)
        require_decoder(file)
        self._lib = library()
        self._watched = WatchedTensors(*self._lib.watching) if watched else None
        self._inner: frozenset[int] = frozenset()
        if watched:
            self.provides |= {"hidden", "layers"}
        self._log = capture_log(self._lib)
        self._load_weights(repacked=True)
        trimmed = None if source is None else TrimmedVocabulary(path, source, self.tokenizer.n_vocab)
        super().__init__(cells, DEFAULT["ik"], trimmed)
        self.layer_count = int(self._lib.llama_model_n_layer(self._model))
        self.layer_width = int(self._lib.llama_model_n_embd(self._model))
        trained_tokens = self._lib.llama_model_n_ctx_train(self._model)
        self.description = self._describe(file, cells, name, trained_tokens=trained_tokens, gpu=False)
        if trimmed is not None:
            self._compute_one_id(int(trimmed.kept[0]))

    def share_cells(self, source: int, target: int, start: int, end: int) -> None:
        self._lib.llama_kv_cache_seq_cp(self._context, source, target, start, end)

    def remove_cells(self, sequence: int, start: int) -> bool:
        return bool(self._lib.llama_kv_cache_seq_rm(self._context, sequence, start, -1))

    def copy_state(self, sequence: int) -> Snapshot | None:
        size = int(self._lib.llama_state_seq_get_size(self._context, sequence, 0))
        state = np.empty(size, np.uint8)
        written = int(self._lib.llama_state_seq_get_data(self._context, state.ctypes.data, size, sequence, 0))
        return state[:written] if written else None

    def write_state(self, sequence: int, state: Snapshot) -> bool:
        state = np.require(state, np.uint8, ["C"])
        if not self._close_gaps():
            return False
        return bool(self._lib.llama_state_seq_set_data(self._context, state.ctypes.data, len(state), sequence, 0))

    def _want_layers(self, layers: frozenset[int]) -> None:
        check_layers(layers, self.layer_count, self.description.name)
        self._inner = layers

    def _decode(self, hidden: bool) -> int:
        if self._watched is not None:
            states = [STATES] if hidden else []
            at_end = not self._inner and self._batch.n_tokens <= self.kernels.most  # more rows take several graphs
            self._watched.want([*map(input_of, self._inner), *states], at_end=hidden and at_end)
        return int(self._lib.llama_decode(self._context, self._batch)) if self._close_gaps() else _GAPS

    def _close_gaps(self) -> bool:
        """Move the used cells to the beginning of the cache, unless they are there. Whether they are there now.

        Trees and several contexts leave gaps. A pass needs free cells in a row; and it looks for the last used cell in
        steps of 32, so that a gap at such a place would hide the cells after it.
        """
        for _ in range(_MOST_MOVES):
            self._lib.llama_kv_cache_view_update(self._context, self._view)
            free = self._view.n_cells - self._view.used_cells
            if free == 0 or (
                self._view.max_contiguous_idx == self._view.used_cells and self._view.max_contiguous == free
            ):
                return True
            self._lib.llama_kv_cache_defrag(self._context)
            self._lib.llama_kv_cache_update(self._context)
        return False

    def _compute_one_id(self, token: int) -> None:
        """Until it has computed a pass over one id, the library reads the id of a lone token, also of an embedding."""
        context = self.open(1)
        self.forward([Feed(context, [token])])
        context.close()

    def _results(self, rows: int, hidden: bool) -> tuple[Floats, Floats | None]:
        logits = view(self._lib.llama_get_logits(self._context), rows, self._columns)
        return logits, self._read(STATES, rows, "hidden states") if hidden else None

    def _layer_inputs(self, layers: Sequence[int], tokens: int) -> Floats:
        found = [self._read(input_of(layer), tokens, f"input of layer {layer}") for layer in layers]
        return np.concatenate(found, axis=1)

    def _read(self, name: str, rows: int, what: str) -> Floats:
        assert self._watched is not None  # otherwise the feed was refused
        found = self._watched.read(name, rows, self.layer_width)
        if found is None:
            raise ModelError(
                f"{TITLE} gives no {what} of {self.description.name}.",
                "Load the target with llama.cpp, or choose another drafter.",
            )
        return found

    def _load_weights(self, *, repacked: bool) -> None:
        self.tokenizer = read_vocabulary(self._source or self.path)
        self._model = _load(self._lib, self._log, self.path, repacked=repacked)

    def _open_cache(self) -> Any:
        params = self._context_params()
        if self._watched is not None:
            self._watched = self._watched.opened(params)
        self._context = self._lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(
                f"{TITLE} could not open a context of {self.cells} tokens{self._log.reason()}.",
                "Lower the context size.",
            )
        self._view = self._lib.llama_kv_cache_view_init(self._context, 1)
        return self._lib.llama_batch_init(self._largest_batch, 0, self.sequences)

    def _free_cache(self) -> None:
        self._lib.llama_kv_cache_view_free(self._view)
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._context)

    def _free_weights(self) -> None:
        self._lib.llama_model_free(self._model)

    def _context_params(self) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = self._cache_cells
        params.n_batch, params.n_ubatch = self._largest_batch, self.kernels.most
        params.n_seq_max = 1  # no limit on sequences: it sizes the buffer of logits, which every pass clears
        params.n_threads = params.n_threads_batch = self.threads
        # Its kernel skips blocks of cells by what the last row sees of their first ones. That holds for one sequence
        # alone: rows of trees, and of several contexts, would lose cells that they see.
        params.flash_attn = False
        return params


def _load(lib: IkLibrary, log: ErrorLog, path: Path, *, repacked: bool) -> Any:
    """The library's handle. Raises ModelError if it refuses the file, or the model cannot rewind."""
    params = lib.llama_model_default_params()
    params.repack_tensors = repacked
    params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(
            f"{TITLE} could not load {path}{log.reason()}.",
            "Load it with llama.cpp, or choose another file of this model.",
        )
    if lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model):
        lib.llama_model_free(model)
        raise cannot_rewind(path.name, "Load it with llama.cpp, or choose a model without recurrent layers")
    return model


def read_vocabulary(path: Path) -> LlamaCppTokenizer:
    """The tokenizer of a file: llama.cpp's if it is installed and knows the file, as it knows more vocabularies.

    Raises ModelError.
    """
    if find_spec("llama_cpp") is not None:
        with suppress(ModelError):
            return VocabularyFile(path)
    return VocabularyFile(path, library(), TITLE)
