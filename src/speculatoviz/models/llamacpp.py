"""llama.cpp through llama-cpp-python's low-level API: one batch per pass, logits read in place.

Contexts share one unified KV cache, so several of them can stand in one pass. Passes run in the calling thread and
release the interpreter lock.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.errors import BadRequestError, ContextFullError, ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import PREFILL_TOKENS, Description, Feed, Rows
from speculatoviz.models.llamacpp_tokenizer import LlamaCppTokenizer

MAX_SEQUENCES = 16
_ERROR = 4  # GGML_LOG_LEVEL_ERROR, which the bindings do not export


class LlamaCppContext:
    """One sequence of the model's KV cache."""

    def __init__(self, model: LlamaCppModel, sequence: int, size: int) -> None:
        self.model, self.sequence, self.size = model, sequence, size
        self.length = 0

    def keep(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length from 0 to {self.length}, got {length}")
        if length < self.length and not lib.llama_memory_seq_rm(self.model.memory, self.sequence, length, -1):
            raise ModelError(
                f"{self.model.description.name} cannot rewind its context.",
                "Choose a model without recurrent layers: speculation takes tokens back.",
            )
        self.length = length

    def close(self) -> None:
        self.model.release(self)


class LlamaCppModel:
    """A GGUF file loaded into memory.

    cells: tokens all contexts hold together. threads: of a forward pass, default all cores.
    Raises ModelError where the file cannot be loaded.
    """

    def __init__(self, path: Path, cells: int = 4096, threads: int | None = None, name: str | None = None) -> None:
        self.threads = threads or usable_cores()
        self._log = _capture_log()
        self._model = lib.llama_model_load_from_file(str(path).encode(), _model_params())
        if not self._model:
            raise ModelError(
                f"llama.cpp could not load {path}{self._log.reason()}.",
                "Check that it is a complete GGUF file.",
            )
        self._context = lib.llama_init_from_model(self._model, self._context_params(cells))
        if not self._context:
            lib.llama_model_free(self._model)
            raise ModelError(
                f"llama.cpp could not open a context of {cells} tokens{self._log.reason()}.",
                "Lower the context size.",
            )
        self.memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(PREFILL_TOKENS, 0, 1)
        self._free = list(range(MAX_SEQUENCES - 1, -1, -1))
        self._cells_left = cells
        self._closed = False
        self.tokenizer = LlamaCppTokenizer(self._model)
        self.description = self._describe(path, cells, name)

    def open(self, size: int) -> LlamaCppContext:
        if size > self._cells_left or not self._free:
            raise ContextFullError(
                f"A context of {size} tokens was asked for and {self._cells_left} are left.",
                "Close a context or load the model with more.",
            )
        self._cells_left -= size
        return LlamaCppContext(self, self._free.pop(), size)

    def release(self, context: LlamaCppContext) -> None:
        if self._closed or context.sequence in self._free:
            return
        lib.llama_memory_seq_rm(self.memory, context.sequence, -1, -1)
        self._free.append(context.sequence)
        self._cells_left += context.size

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        counts = self._fill(feeds)
        code = lib.llama_decode(self._context, self._batch)
        if code != 0:
            for feed in feeds:
                self._drop_partial(feed)
            raise ModelError(
                f"llama.cpp refused a pass over {self._batch.n_tokens} tokens (code {code}).",
                "Lower the context size or the number of parallel runs.",
            )
        rows = np.ctypeslib.as_array(lib.llama_get_logits(self._context), shape=(sum(counts), self.tokenizer.n_vocab))
        for feed in feeds:
            _own(feed).length += len(feed.tokens)
        ends = np.cumsum(counts)
        return [Rows(rows[end - count : end]) for end, count in zip(ends, counts, strict=True)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            lib.llama_model_free(self._model)

    def _context_params(self, cells: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = PREFILL_TOKENS
        params.n_seq_max = MAX_SEQUENCES
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        return params

    def _fill(self, feeds: Sequence[Feed]) -> list[int]:
        """Write the feeds into the batch; returns the rows each will give."""
        total = sum(len(feed.tokens) for feed in feeds)
        if not 0 < total <= PREFILL_TOKENS:
            raise ValueError(f"expected 1 to {PREFILL_TOKENS} tokens in a pass, got {total}")
        batch, place, counts = self._batch, 0, []
        for feed in feeds:
            context = _own(feed)
            self._check(context, feed)
            for offset, token in enumerate(feed.tokens):
                batch.token[place] = token
                batch.pos[place] = context.length + offset
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = context.sequence
                batch.logits[place] = feed.rows == "all" or offset == len(feed.tokens) - 1
                place += 1
            counts.append(len(feed.tokens) if feed.rows == "all" else 1)
        batch.n_tokens = total
        return counts

    def _check(self, context: LlamaCppContext, feed: Feed) -> None:
        if context.length + len(feed.tokens) > context.size:
            raise ContextFullError(
                f"The context holds {context.size} tokens and {context.length + len(feed.tokens)} were asked for.",
                "Shorten the prompt or raise the context size.",
            )
        if any(not 0 <= token < self.tokenizer.n_vocab for token in feed.tokens):
            raise BadRequestError(
                "A token id is outside the vocabulary.", f"Use ids from 0 to {self.tokenizer.n_vocab - 1}."
            )

    def _drop_partial(self, feed: Feed) -> None:
        """A failed pass may have left some of its tokens in the cache."""
        context = _own(feed)
        lib.llama_memory_seq_rm(self.memory, context.sequence, context.length, -1)

    def _describe(self, path: Path, cells: int, name: str | None) -> Description:
        gpu = lib.llama_supports_gpu_offload()
        return Description(
            name=name or self.tokenizer.metadata("general.name") or path.stem,
            runtime="llama.cpp",
            quantisation=_file_type(self.tokenizer.metadata("general.file_type")),
            parameters=int(lib.llama_model_n_params(self._model)),
            size_bytes=path.stat().st_size,
            context_tokens=min(cells, int(lib.llama_model_n_ctx_train(self._model))),
            computes_on="GPU" if gpu else f"CPU, {self.threads} threads",
        )


def _model_params() -> Any:
    params = lib.llama_model_default_params()
    # The AMX kernels live in the extra buffer types and can end the process with an illegal instruction
    # (ggml-org/llama.cpp pull request 26954): a build that has them gets the plain kernels.
    params.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
    return params


def _own(feed: Feed) -> LlamaCppContext:
    if not isinstance(feed.context, LlamaCppContext):
        raise TypeError(f"expected a llama.cpp context, got {type(feed.context).__name__}")
    return feed.context


def _file_type(code: str | None) -> str:
    names = {
        getattr(lib, name): name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
        for name in dir(lib)
        if name.startswith("LLAMA_FTYPE_")
    }
    return names.get(int(code), f"type {code}") if code is not None else "unknown"


class _LogTail:
    """llama.cpp's error lines, kept for error messages instead of being printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.callback = lib.llama_log_callback(self._add)

    def reason(self) -> str:
        return f" ({self.lines[-1]})" if self.lines else ""

    def _add(self, level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level == _ERROR and (line := text.decode(errors="replace").strip()):
            self.lines = [*self.lines[-7:], line]


_log_tails: list[_LogTail] = []


def _capture_log() -> _LogTail:
    """llama.cpp has one log for the process; the callback must outlive every call into the library."""
    if not _log_tails:
        _log_tails.append(_LogTail())
        lib.llama_log_set(_log_tails[0].callback, None)
    _log_tails[0].lines = []
    return _log_tails[0]
