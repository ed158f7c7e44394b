"""llama.cpp through the low-level API of llama-cpp-python: one batch per pass, logits read in place.

Contexts share one unified KV cache, so one pass can serve several of them. A pass runs in the calling thread and
releases the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import ContextFullError, ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import (
    PREFILL_TOKENS,
    UNKNOWN,
    Capability,
    ContextBudget,
    Description,
    Feed,
    Rows,
    check_feeds,
)
from speculatoviz.models.files.decoder import require_decoder
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.llamacpp_log import ErrorLog, capture_log
from speculatoviz.models.tokenizers.llamacpp import LlamaCppTokenizer
from speculatoviz.models.tree import check_keep, depths, leaves, visible

MAX_SEQUENCES = 64  # open contexts and leaves of unsettled trees


class LlamaCppContext:
    """One sequence of the model's KV cache, and one more for every leaf of a tree that is not settled."""

    def __init__(self, model: LlamaCppModel, sequence: int, size: int) -> None:
        self.model, self.sequence, self.size = model, sequence, size
        self.length = 0
        self._closed = False
        self.tree: Sequence[int] | None = None
        self.branches: dict[int, int] = {}  # leaf -> its sequence

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`. Raises ModelError if the model cannot rewind."""
        check_keep(self.length, length, self.tree, path)
        memory = self.model.memory
        if path:
            sees = visible(self.tree or ())
            branch = next(sequence for leaf, sequence in self.branches.items() if sees[leaf, path[-1]])
            lib.llama_memory_seq_cp(memory, branch, self.sequence, length, length + len(path))
        self.drop_tree()
        if length < self.length and not lib.llama_memory_seq_rm(memory, self.sequence, length, -1):
            raise ModelError(
                f"{self.model.description.name} cannot rewind its context.",
                "Choose a model without recurrent layers: speculation takes tokens back.",
            )
        self.length = length + len(path)

    def drop_tree(self) -> None:
        """Remove the sequences of the tree's leaves."""
        self.model.give_back(self.branches.values())
        self.tree, self.branches = None, {}

    def close(self) -> None:
        """Return its cells and its sequence to the model."""
        if not self._closed:
            self._closed = True  # its sequence may soon be another context's
            self.model.release(self)


class LlamaCppModel:
    """A GGUF file, whole or split, loaded into memory.

    path: the file, or its first part. cells: tokens that all contexts can hold together. threads: of a forward pass, by
    default all cores. name: for display. trial: load for a few tokens only: on the CPU, without repacking weights.
    Raises ModelError if the file is no causal language model, cannot be loaded, or cannot rewind.

    llama.cpp ends the process for some malformed files. `llamacpp_trial.require_loadable` finds them first.
    """

    provides: frozenset[Capability] = frozenset({"trees", "hidden"})

    def __init__(
        self,
        path: Path,
        cells: int = 4096,
        threads: int | None = None,
        name: str | None = None,
        *,
        trial: bool = False,
    ) -> None:
        self.path = path
        self.threads = threads or usable_cores()
        file = read(path)
        require_decoder(file)
        self._log = capture_log()
        self._model = _load(path, self._log, trial)
        self._context = lib.llama_init_from_model(self._model, self._context_params(cells))
        if not self._context:
            lib.llama_model_free(self._model)
            raise ModelError(
                f"llama.cpp could not open a context of {cells} tokens{self._log.reason()}.",
                "Lower the context size.",
            )
        self.memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(PREFILL_TOKENS, 0, MAX_SEQUENCES)
        self._free = list(range(MAX_SEQUENCES - 1, -1, -1))
        self._budget = ContextBudget(cells)
        self._closed = False
        self._n_embd = int(lib.llama_model_n_embd_out(self._model))
        self.tokenizer = LlamaCppTokenizer(self._model)
        self.description = self._describe(file, cells, name)

    def open(self, size: int) -> LlamaCppContext:
        """A new context. Raises ContextFullError if no cells or no sequence are left."""
        if not self._free:
            raise ContextFullError(
                f"llama.cpp has {MAX_SEQUENCES} sequences, and all are in use.",
                "Close a context before opening another.",
            )
        self._budget.reserve(size)
        return LlamaCppContext(self, self._free.pop(), size)

    def release(self, context: LlamaCppContext) -> None:
        """Free the cells and the sequence of a context."""
        if self._closed:
            return
        context.drop_tree()
        self.give_back([context.sequence])
        self._budget.release(context.size)

    def give_back(self, sequences: Iterable[int]) -> None:
        """Free these sequences and what the KV cache holds of them."""
        for sequence in sequences:
            lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)
            self._free.append(sequence)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass over at most PREFILL_TOKENS tokens. Raises ModelError if llama.cpp refuses it."""
        self._check(feeds)
        hidden = any(feed.hidden for feed in feeds)
        # With hidden states llama.cpp computes every row, asked for or not.
        counts = [len(feed.tokens) if hidden or feed.rows == "all" else 1 for feed in feeds]
        self._fill(feeds, counts)
        lib.llama_set_embeddings(self._context, hidden)
        code = lib.llama_decode(self._context, self._batch)
        if code != 0:
            for feed in feeds:
                self._drop_partial(feed)
            raise ModelError(
                f"llama.cpp refused a pass over {self._batch.n_tokens} tokens (code {code}).",
                "Lower the context size or the number of parallel runs.",
            )
        for feed in feeds:
            if feed.parents is None:
                _own(feed).length += len(feed.tokens)
        logits = _rows(lib.llama_get_logits(self._context), sum(counts), self.tokenizer.n_vocab)
        states = _rows(lib.llama_get_embeddings(self._context), sum(counts), self._n_embd) if hidden else None
        ends = np.cumsum(counts)
        result = []
        for feed, end, count in zip(feeds, ends, counts, strict=True):
            wanted = slice(end - count if feed.rows == "all" else end - 1, end)
            result.append(Rows(logits[wanted], states[wanted] if states is not None and feed.hidden else None))
        return result

    def close(self) -> None:
        """Free the weights and the KV cache."""
        if not self._closed:
            self._closed = True
            self.tokenizer.close()
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            lib.llama_model_free(self._model)

    def _context_params(self, cells: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = PREFILL_TOKENS
        params.n_seq_max = MAX_SEQUENCES
        params.kv_unified = True
        params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE  # a file may ask for one, and then has no state per token
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        return params

    def _check(self, feeds: Sequence[Feed]) -> None:
        total = sum(len(feed.tokens) for feed in feeds)
        if not 0 < total <= PREFILL_TOKENS:
            raise ValueError(f"expected 1 to {PREFILL_TOKENS} tokens in a pass, got {total}")
        check_feeds(self, feeds)
        branches = sum(len(leaves(feed.parents)) for feed in feeds if feed.parents is not None)
        if branches > len(self._free):
            raise ContextFullError(
                f"The trees have {branches} leaves and llama.cpp has {len(self._free)} sequences left.",
                "Draft narrower trees or close a context.",
            )

    def _fill(self, feeds: Sequence[Feed], counts: Sequence[int]) -> None:
        """Write the feeds into the batch. counts: how many of its last tokens each feed wants rows for."""
        batch, place = self._batch, 0
        for feed, count in zip(feeds, counts, strict=True):
            context = _own(feed)
            sequences, positions = self._branch(context, feed)
            for offset, token in enumerate(feed.tokens):
                batch.token[place] = token
                batch.pos[place] = context.length + positions[offset]
                batch.n_seq_id[place] = len(sequences[offset])
                for index, sequence in enumerate(sequences[offset]):
                    batch.seq_id[place][index] = sequence
                batch.logits[place] = offset >= len(feed.tokens) - count
                place += 1
        batch.n_tokens = place

    def _branch(self, context: LlamaCppContext, feed: Feed) -> tuple[list[list[int]], list[int]]:
        """Of every token its sequences and its position after the context's end.

        A node of a tree belongs to the sequences of all leaves below it.
        """
        if feed.parents is None:
            return [[context.sequence]] * len(feed.tokens), list(range(len(feed.tokens)))
        context.tree = feed.parents
        context.branches = {leaf: self._free.pop() for leaf in leaves(feed.parents)}
        for sequence in context.branches.values():
            lib.llama_memory_seq_cp(self.memory, context.sequence, sequence, 0, context.length)
        sees = visible(feed.parents)
        below = [[s for leaf, s in context.branches.items() if sees[leaf, node]] for node in range(len(feed.tokens))]
        return below, depths(feed.parents)

    def _drop_partial(self, feed: Feed) -> None:
        """Remove what a failed pass has left in the cache."""
        context = _own(feed)
        context.drop_tree()
        lib.llama_memory_seq_rm(self.memory, context.sequence, context.length, -1)

    def _describe(self, file: GgufFile, cells: int, name: str | None) -> Description:
        gpu = lib.llama_supports_gpu_offload()
        return Description(
            name=name or self.tokenizer.metadata("general.name") or file.stem,
            runtime="llama.cpp",
            quantisation=_file_type(self.tokenizer.metadata("general.file_type")),
            parameters=int(lib.llama_model_n_params(self._model)),
            size_bytes=file.size_bytes,
            context_tokens=min(cells, int(lib.llama_model_n_ctx_train(self._model))),
            computes_on="GPU" if gpu else f"CPU, {self.threads} threads",
        )


def _load(path: Path, log: ErrorLog, trial: bool) -> Any:
    """The library's handle. Raises ModelError if it refuses the file, or the model cannot rewind."""
    params = _model_params()
    if trial:
        params.use_extra_bufts, params.n_gpu_layers = False, 0
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(
            f"llama.cpp could not load {path}{log.reason()}.",
            "Choose another file of this model, or one that this version of llama.cpp knows.",
        )
    if lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model):
        lib.llama_model_free(model)
        raise ModelError(
            f"{path.name} cannot rewind its context.",
            "Choose a model without recurrent layers: speculation takes tokens back.",
        )
    return model


def _model_params() -> Any:
    params = lib.llama_model_default_params()
    # The AMX kernels live in the extra buffer types and can end the process with an illegal instruction
    # (ggml-org/llama.cpp pull request 26954): a build that has them gets the plain kernels.
    params.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
    return params


def _rows(pointer: Any, rows: int, columns: int) -> Floats:
    """float32[rows, columns], a view of llama.cpp's buffer."""
    return np.ctypeslib.as_array(pointer, shape=(rows, columns))


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
    return names.get(int(code), f"type {code}") if code is not None else UNKNOWN
