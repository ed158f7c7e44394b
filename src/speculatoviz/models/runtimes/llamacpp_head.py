"""A published head in a context of llama.cpp's own, beside the target's."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.models.gguf_log import capture_log
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel, MappedFile

_NEEDED = ("llama_process", "llama_batch_ext_init", "llama_batch_ext_set_embd_token")
ENCODE, DECODE = 0, 1  # LLAMA_PROCESS_TYPE_ENCODE, LLAMA_PROCESS_TYPE_DECODE


class LlamaCppHead:
    """What heads share: a model, a context, a batch of rows, and the target whose matrices it may use."""

    _companion: Any = None
    _lender: MappedFile | None = None
    _model: Any = None
    _context: Any = None

    def _load(self, path: Path, params: Any, shared: LlamaCppModel | Path | None) -> None:
        """Open a file that was checked before: the library ends the process for some malformed ones.

        params: of the context. shared: the target or its file, whose embedding and output matrix it uses if it has none
        of its own. Raises ModelError if the library cannot load it, or is of a version without the functions that it
        needs.
        """
        log = capture_log(lib)
        require_extension(path.name)
        if shared is not None:
            params.ctx_other = self._companion = self._companion_of(shared)
        self._model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        self._context = lib.llama_init_from_model(self._model, params) if self._model else None
        if not self._context:
            self._free()
            raise ModelError(f"llama.cpp could not load the head {path}{log.reason()}.", "Choose another head.")

    def _companion_of(self, shared: LlamaCppModel | Path) -> Any:
        if isinstance(shared, LlamaCppModel):
            return shared.open_companion()
        self._lender = MappedFile(shared)
        try:
            return self._lender.open_companion()
        except ModelError:
            self._free()
            raise

    def _open(self) -> None:
        """Of a context that is open: its memory and its batch."""
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_ext_init(self._context)
        self._closed = False

    def close(self) -> None:
        """Free its memory; a second call does nothing."""
        if not self._closed:
            self._closed = True
            lib.llama_batch_ext_free(self._batch)
            self._free()

    def _process(self, kind: int, rows: int) -> None:
        code = int(lib.llama_process(self._context, kind, self._batch))
        if code != 0:
            raise ModelError(
                f"llama.cpp refused a pass of the head over {rows} tokens (code {code}).",
                "Lower the context size, or choose another drafter.",
            )

    def _free(self) -> None:
        for free, handle in (
            (lib.llama_free, self._context),
            (lib.llama_model_free, self._model),
            (lib.llama_free, self._companion),
        ):
            if handle:
                free(handle)
        if self._lender is not None:
            self._lender.close()


def context_params(cells: int, rows: int, sequences: int, threads: int) -> Any:
    """Parameters of a head's context. cells: tokens that it holds. rows: the most of one pass."""
    params = lib.llama_context_default_params()
    params.n_ctx = cells
    params.n_batch = params.n_ubatch = rows
    params.n_seq_max, params.kv_unified = sequences, True
    params.n_threads = params.n_threads_batch = threads
    params.no_perf = True
    return params


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


def embedding(row: Floats) -> Any:
    """A row float32[n] as the library takes it, valid while `row` is."""
    return lib.llama_embd(row.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), 1, len(row))
