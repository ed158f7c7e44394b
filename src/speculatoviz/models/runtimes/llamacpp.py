"""llama.cpp through the low-level API of llama-cpp-python: one batch per pass, logits read in place."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as lib
import numpy as np
from gguf import GGMLQuantizationType

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Capability, check_layers
from speculatoviz.models.files.decoder import require_decoder
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.gguf_log import ErrorLog, capture_log
from speculatoviz.models.kernels import DEFAULT
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.rewinder import require_rewinding
from speculatoviz.models.runtimes.llamacpp_layers import inner_layers
from speculatoviz.models.runtimes.llamacpp_states import plan_states
from speculatoviz.models.runtimes.sequence_contexts import cannot_rewind
from speculatoviz.models.runtimes.sequences import SequenceModel, view
from speculatoviz.models.runtimes.trimmed import TrimmedVocabulary
from speculatoviz.models.tokenizers.llamacpp import LlamaCppTokenizer, VocabularyFile


class LlamaCppModel(SequenceModel):
    """A GGUF file, whole or split, loaded into memory.

    path: the file, or its first part. cells: tokens that all contexts can hold together. threads: of a forward pass, by
    default all cores. name: for display. source: the file that a trimmed file was made of (`files/trim.py`). trial:
    load for a few tokens only: on the CPU, without repacking weights. layers: feeds will ask for the inputs of inner
    layers, which the passes of some architectures then pay for. Raises ModelError if the file is no causal language
    model, cannot be loaded, or has recurrent layers whose state the library does not restore.

    llama.cpp ends the process for some malformed files. `gguf_trial.require_loadable` finds them first.
    """

    runtime: Runtime = "llamacpp"
    title = "llama.cpp"
    version = llama_cpp.__version__
    provides: frozenset[Capability] = frozenset({"trees", "hidden", "layers"})

    def __init__(
        self,
        path: Path,
        cells: int = 4096,
        threads: int | None = None,
        name: str | None = None,
        source: Path | None = None,
        *,
        trial: bool = False,
        layers: bool = False,
    ) -> None:
        self.path, self._source, self._trial = path, source, trial
        self.threads = threads or usable_cores()
        file = read(path)
        require_decoder(file)
        self._architecture = file.architecture
        self._inner = inner_layers(file.architecture, asked=layers)
        if self._inner is None:
            self.provides -= {"layers"}
        self._log = capture_log(lib)
        kernels = replace(DEFAULT["llamacpp"], repacked=not trial)
        self._load_weights(repacked=kernels.repacked)
        self._plan_states(file)
        trimmed = None if source is None else TrimmedVocabulary(path, source, self.tokenizer.n_vocab)
        super().__init__(cells, kernels, trimmed)
        self._n_embd = int(lib.llama_model_n_embd_out(self._model))
        self.layer_count = int(lib.llama_model_n_layer(self._model))
        self.layer_width = int(lib.llama_model_n_embd(self._model))
        trained_tokens, gpu = lib.llama_model_n_ctx_train(self._model), lib.llama_supports_gpu_offload()
        self.description = self._describe(file, cells, name, trained_tokens=trained_tokens, gpu=gpu)
        if self.recurrent:
            try:
                require_rewinding(self, lambda: cannot_rewind(self.description.name))
            except BaseException:
                self.close()
                raise

    def _plan_states(self, file: GgufFile) -> None:
        """Of a model with recurrent layers: its sequences and snapshots. Its passes have no trees."""
        self.recurrent = bool(lib.llama_model_is_recurrent(self._model) or lib.llama_model_is_hybrid(self._model))
        if self.recurrent:
            self.sequences, self.snapshots = plan_states(file)
            self.provides = self.provides - {"trees"}

    def share_cells(self, source: int, target: int, start: int, end: int) -> None:
        lib.llama_memory_seq_cp(self.memory, source, target, start, end)

    def remove_cells(self, sequence: int, start: int) -> bool:
        return bool(lib.llama_memory_seq_rm(self.memory, sequence, start, -1))

    def copy_state(self, sequence: int) -> Snapshot | None:
        size = int(lib.llama_state_seq_get_size(self._context, sequence))
        state = np.empty(size, np.uint8)
        written = int(lib.llama_state_seq_get_data(self._context, _bytes_of(state), size, sequence))
        return state[:written] if written else None

    def write_state(self, sequence: int, state: Snapshot) -> bool:
        state = np.require(state, np.uint8, ["C", "W"])
        return bool(lib.llama_state_seq_set_data(self._context, _bytes_of(state), len(state), sequence))

    @property
    def mtp_layers(self) -> int:
        """See `MtpModel`."""
        return int(lib.llama_model_n_layer_nextn(self._model)) if self._architecture in _MTP else 0

    def open_mtp(self, params: Any) -> Any:
        """A context of the library for that layer, with these parameters. The caller frees it, before this."""
        params.ctx_type = lib.LLAMA_CONTEXT_TYPE_MTP
        context = lib.llama_init_from_model(self._model, params)
        if not context:
            name = self.description.name
            raise ModelError(f"llama.cpp cannot compute the next-token layer of {name}.", "Choose another drafter.")
        return context

    def open_companion(self) -> Any:
        """A context of the library for a head that shares this model's matrices. The caller frees it, before this."""
        return _companion(self._model, self._context_params(), self._log)

    def _decode(self, hidden: bool) -> int:
        lib.llama_set_embeddings(self._context, hidden)
        return int(lib.llama_decode(self._context, self._batch))

    def _results(self, rows: int, hidden: bool) -> tuple[Floats, Floats | None]:
        logits = view(lib.llama_get_logits(self._context), rows, self._columns)
        return logits, view(lib.llama_get_embeddings(self._context), rows, self._n_embd) if hidden else None

    def _want_layers(self, layers: frozenset[int]) -> None:
        check_layers(layers, self.layer_count, self.description.name)
        if self._inner is not None:
            self._inner.want(self._context, layers)

    def _layer_inputs(self, layers: Sequence[int], tokens: int) -> Floats:
        assert self._inner is not None  # otherwise the feed was refused
        width = self.layer_width
        return np.concatenate([self._inner.read(self._context, layer, tokens, width) for layer in layers], axis=1)

    def _load_weights(self, *, repacked: bool) -> None:
        self._model = _load(self.path, self._log, repacked=repacked, trial=self._trial)
        self.tokenizer = LlamaCppTokenizer(self._model, lib) if self._source is None else VocabularyFile(self._source)

    def _open_cache(self) -> Any:
        params = self._context_params()
        if self._inner is not None:
            self._inner = self._inner.opened(params)
        self._context = lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(
                f"llama.cpp could not open a context of {self.cells} tokens{self._log.reason()}.",
                "Lower the context size.",
            )
        self.memory = lib.llama_get_memory(self._context)
        self.snapshots = int(lib.llama_n_rs_seq(self._context))  # none for most architectures
        return lib.llama_batch_init(self._largest_batch, 0, self.sequences)

    def _free_cache(self) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)

    def _free_weights(self) -> None:
        lib.llama_model_free(self._model)

    def _context_params(self) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = max(self._cache_cells, self.sequences)  # it refuses fewer cells than sequences
        params.n_batch, params.n_ubatch = self._largest_batch, self.kernels.most
        params.n_seq_max, params.n_rs_seq = self.sequences, self.snapshots
        params.type_k, params.type_v = GGMLQuantizationType.F16, GGMLQuantizationType[self.kernels.values.upper()]
        params.kv_unified = True
        params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE  # a file may ask for one, and then has no state per token
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        return params


class MappedFile:
    """The matrices of a GGUF file, for a head whose target another runtime computes.

    The file is mapped and nothing is copied, so only the rows that the head reads take memory. Raises ModelError if
    llama.cpp cannot load it.
    """

    def __init__(self, path: Path) -> None:
        self._log = capture_log(lib)
        self._model = _load(path, self._log, repacked=False, trial=True)

    def open_companion(self) -> Any:
        """See `LlamaCppModel.open_companion`."""
        return _companion(self._model, lib.llama_context_default_params(), self._log)

    def close(self) -> None:
        """Free it, after its companions."""
        lib.llama_model_free(self._model)


def _companion(model: Any, params: Any, log: ErrorLog) -> Any:
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max, params.n_rs_seq = 64, 1, 1, 1, 0
    context = lib.llama_init_from_model(model, params)
    if not context:
        raise ModelError(f"llama.cpp has no memory for a head{log.reason()}.", "Lower the context size.")
    return context


_MTP = frozenset({"qwen35", "qwen35moe"})  # architectures whose next-token layer reads the hidden states as they are


def _load(path: Path, log: ErrorLog, *, repacked: bool, trial: bool) -> Any:
    """The library's handle. Raises ModelError if it refuses the file."""
    params = _model_params()
    params.use_extra_bufts = params.use_extra_bufts and repacked
    if trial:
        params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(
            f"llama.cpp could not load {path}{log.reason()}.",
            "Choose another file of this model, or one that this version of llama.cpp knows.",
        )
    return model


def _bytes_of(state: Snapshot) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _model_params() -> Any:
    params = lib.llama_model_default_params()
    params.load_mtp = True
    # The AMX kernels live in the extra buffer types and can end the process with an illegal instruction
    # (ggml-org/llama.cpp pull request 26954): a build that has them gets the plain kernels.
    params.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
    return params
