"""Contexts as numbered sequences of one KV cache: the part of a runtime that llama.cpp and its relatives share.

A cell of the cache holds keys and values of one token, and the set of sequences that see it. So one pass can serve
several contexts, and the nodes of a tree share the cells of their ancestors. A pass runs in the calling thread and
releases the interpreter lock.
"""

from __future__ import annotations

import ctypes
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import copy
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import ContextFullError, ModelError
from speculatoviz.machine import on_threads
from speculatoviz.models.base import PREFILL_TOKENS, Capability, ContextBudget, Description, Feed, Rows, check_feeds
from speculatoviz.models.file_type import file_type
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.kernels import Kernels
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.rewinder import CHECKPOINTS
from speculatoviz.models.runtimes.sequence_contexts import RecurrentSequence, SequenceContext
from speculatoviz.models.runtimes.trimmed import TrimmedVocabulary
from speculatoviz.models.tokenizers.llamacpp import LlamaCppTokenizer
from speculatoviz.models.tree import depths, leaves, visible

MAX_SEQUENCES = 64  # open contexts and leaves of unsettled trees


class SequenceModel(ABC):
    """A model whose contexts are sequences of one KV cache. A runtime adds the calls into its library.

    title, version: of the library. path: of the model's file, or of its first part. cells: tokens that all contexts can
    hold together. kernels: how passes are computed. trimmed: of a file that keeps only some tokens of the vocabulary,
    which the tokenizer has whole. The weights are loaded before the cache is opened here.

    recurrent: whether layers have a state that cannot be cut. sequences: of the cache. snapshots: of each sequence's
    state after its last tokens. A recurrent model sets them before the cache is opened.
    """

    runtime: Runtime
    title: str
    version: str
    path: Path
    threads: int
    provides: frozenset[Capability]
    tokenizer: LlamaCppTokenizer
    description: Description
    recurrent = False
    sequences = MAX_SEQUENCES
    snapshots = 0

    def __init__(self, cells: int, kernels: Kernels, trimmed: TrimmedVocabulary | None = None) -> None:
        self.trimmed = trimmed
        self._shares_weights = False
        self._open_with(cells, kernels)

    def _open_with(self, cells: int, kernels: Kernels) -> None:
        """Open the cache. Frees the weights, unless they are shared, if that fails."""
        self.cells, self.kernels = cells, kernels
        try:
            self._batch = batch = self._open_cache()
        except BaseException:
            if not self._shares_weights:
                self._free_weights()
            raise
        # The library's array, which a pass over embeddings leaves out.
        self._token_ids = ctypes.cast(batch.token, type(batch.token))
        self._free = list(range(self._padding_sequence if kernels.fewest > 1 else self.sequences))[::-1]
        self._budget = ContextBudget(cells)
        self._closed = False

    def sibling(self, cells: int) -> SequenceModel:
        """A model with the same weights and a cache of its own. It has to be closed before this one.

        Raises ModelError if there is no memory for it.
        """
        other = copy(self)
        other._shares_weights = True
        other._open_with(cells, self.kernels)
        return other

    def configure(self, kernels: Kernels) -> None:
        """Compute passes with other kernels from now on. No context is open. Raises ModelError, and is closed then."""
        self._point_at_ids()
        self._free_cache()
        self._closed = True
        if kernels.repacked != self.kernels.repacked:
            self._free_weights()
            self._load_weights(repacked=kernels.repacked)
        self._open_with(self.cells, kernels)

    # --- what a library does --------------------------------------------------------------------------

    @abstractmethod
    def _load_weights(self, *, repacked: bool) -> None:
        """Load the file, and the tokenizer if it needs the weights. Raises ModelError."""

    @abstractmethod
    def _open_cache(self) -> Any:
        """Open the KV cache for `cells` and `kernels`. Raises ModelError.

        Returns the library's `llama_batch`, for `_largest_batch` tokens of `sequences` sequences.
        """

    @property
    def _padding_sequence(self) -> int:
        """Of the rows that pad a pass, where kernels need that."""
        return self.sequences - 1

    @property
    def _cache_cells(self) -> int:
        """The cells that the cache needs: one more for each row that pads a pass."""
        return self.cells + self.kernels.fewest - 1

    @property
    def _largest_batch(self) -> int:
        return PREFILL_TOKENS + self.kernels.fewest - 1

    @abstractmethod
    def share_cells(self, source: int, target: int, start: int, end: int) -> None:
        """Let the sequence `target` see the cells of `source` at positions start to end - 1 too."""

    @abstractmethod
    def remove_cells(self, sequence: int, start: int) -> bool:
        """Remove a sequence from its cells at positions from `start` on. Whether the model can do so."""

    def copy_state(self, sequence: int) -> Snapshot | None:
        """A copy of the keys and values of a sequence; None from a library without such a call."""
        del sequence
        return None

    def write_state(self, sequence: int, state: Snapshot) -> bool:
        """Give an empty sequence the keys and values of a copy. Whether the library accepted it."""
        del sequence, state
        return False

    @abstractmethod
    def _decode(self, hidden: bool) -> int:
        """Compute the batch: 0, or the library's code. hidden: hidden states are wanted for the same rows."""

    @abstractmethod
    def _results(self, rows: int, hidden: bool) -> tuple[Floats, Floats | None]:
        """Logits float32[rows, columns] of the last pass and, if wanted, states float32[rows, D]: views of buffers."""

    def _want_layers(self, layers: frozenset[int]) -> None:  # noqa: B027  # nothing to do without inner layers
        """Have the inputs of these layers kept in the next pass. Raises BadRequestError if there is no such layer."""

    def _layer_inputs(self, layers: Sequence[int], tokens: int) -> Floats:
        """A copy of the inputs float32[tokens, L * D] of inner layers in the last pass. Raises ModelError."""
        raise NotImplementedError

    @property
    def _columns(self) -> int:
        """How many logits the library computes for a row."""
        return self.tokenizer.n_vocab if self.trimmed is None else self.trimmed.columns

    @abstractmethod
    def _free_cache(self) -> None:
        """Free the KV cache and the batch."""

    @abstractmethod
    def _free_weights(self) -> None:
        """Free the weights."""

    # --- contexts -------------------------------------------------------------------------------------

    def open(self, size: int) -> SequenceContext:
        """A new context. Raises ContextFullError if no cells or no sequence are left."""
        needed = 1 + CHECKPOINTS if self.recurrent else 1
        if len(self._free) < needed:
            raise ContextFullError(
                f"{self.title} has {self.sequences} sequences for this model, and too few are left.",
                "Close a context before opening another.",
            )
        self._budget.reserve(size)
        taken = [self._free.pop() for _ in range(needed)]
        if self.recurrent:
            return RecurrentSequence(self, taken, size, self.snapshots)
        return SequenceContext(self, taken[0], size)

    @property
    def rollback_tokens(self) -> int | None:
        """See `RollbackModel`."""
        return self.snapshots or None

    def release(self, context: SequenceContext) -> None:
        """Free the cells and the sequence of a context."""
        if self._closed:
            return
        context.drop_tree()
        self.give_back(context.sequences)
        self._budget.release(context.size)

    def snapshot_key(self) -> str:
        """See `StorableModel.snapshot_key`. Reads the whole file."""
        digests: list[str] = []
        for part in read(self.path).parts:
            with part.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return " ".join([self.title, self.version, repr(self.kernels), *digests])

    def give_back(self, sequences: Iterable[int]) -> None:
        """Free these sequences and what the KV cache holds of them."""
        for sequence in sequences:
            self.remove_cells(sequence, 0)
            self._free.append(sequence)

    def close(self) -> None:
        """Free the KV cache and the weights, unless they are another model's."""
        if not self._closed:
            self._closed = True
            self._point_at_ids()
            self._free_cache()
            if not self._shares_weights:
                self.tokenizer.close()
                self._free_weights()

    # --- a pass ---------------------------------------------------------------------------------------

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass over at most PREFILL_TOKENS tokens. Raises ModelError if the library refuses it."""
        self._check(feeds)
        for feed in feeds:
            self._own(feed).prepare(feed)
        # After the passes that a rewind needs: what is read of the layers has to be of this pass.
        self._want_layers(frozenset(layer for feed in feeds for layer in feed.layers))
        return self._pass(feeds)

    def compute(self, feeds: Sequence[Feed]) -> None:
        """One pass without results, over tokens that the contexts count already."""
        self._pass(feeds, grow=False)

    def _pass(self, feeds: Sequence[Feed], *, grow: bool = True) -> list[Rows]:
        hidden = any(feed.hidden for feed in feeds)
        # With hidden states llama.cpp computes every row, asked for or not. So do kernels for several rows: the
        # last layer and the output matrix would compute a single one with another kernel.
        every = hidden or self.kernels.fewest > 1
        counts = [len(feed.tokens) if every or feed.rows == "all" else 1 for feed in feeds]
        padding = self._fill(feeds, counts)
        code = self._decode(hidden)
        if padding:
            self.remove_cells(self._padding_sequence, 0)
        if code != 0:
            for feed in feeds:
                self._own(feed).drop_partial()
            raise ModelError(
                f"{self.title} refused a pass over {self._batch.n_tokens} tokens (code {code}).",
                "Lower the context size or the number of parallel runs.",
            )
        for feed in feeds if grow else ():
            self._own(feed).grow(feed)
        logits, states = self._results(sum(counts), hidden)
        logits = logits if self.trimmed is None else self.trimmed.spread(logits)
        result, end, place = [], 0, 0  # rows and tokens of the feeds so far
        for feed, count in zip(feeds, counts, strict=True):
            end, place = end + count, place + len(feed.tokens)
            wanted = slice(end - count if feed.rows == "all" else end - 1, end)
            own = states[wanted] if states is not None and feed.hidden else None
            inner = self._layer_inputs(feed.layers, place)[-len(feed.tokens) :] if feed.layers else None
            result.append(Rows(logits[wanted], own, layers=inner))
        return result

    def _check(self, feeds: Sequence[Feed]) -> None:
        total = sum(len(feed.tokens) for feed in feeds)
        if not 0 < total <= PREFILL_TOKENS:
            raise ValueError(f"expected 1 to {PREFILL_TOKENS} tokens in a pass, got {total}")
        check_feeds(self, feeds)
        branches = sum(len(leaves(feed.parents)) for feed in feeds if feed.parents is not None)
        if branches > len(self._free):
            raise ContextFullError(
                f"The trees have {branches} leaves and {self.title} has {len(self._free)} sequences left.",
                "Draft narrower trees or close a context.",
            )

    def _fill(self, feeds: Sequence[Feed], counts: Sequence[int]) -> int:
        """Write the feeds into the batch, and after them the rows that its kernels need. Returns how many those are.

        counts: how many of its last tokens each feed wants rows for.
        """
        tokens = [token for feed in feeds for token in feed.tokens]
        padding = self.kernels.padding(len(tokens))
        self._write_inputs([*tokens, *tokens[:1] * padding])
        batch, place = self._batch, 0
        for feed, count in zip(feeds, counts, strict=True):
            context = self._own(feed)
            sequences, positions = self._branch(context, feed)
            for offset in range(len(feed.tokens)):
                batch.pos[place] = context.held + positions[offset]
                batch.n_seq_id[place] = len(sequences[offset])
                for index, sequence in enumerate(sequences[offset]):
                    batch.seq_id[place][index] = sequence
                batch.logits[place] = offset >= len(feed.tokens) - count
                place += 1
        for position in range(padding):
            batch.pos[place], batch.logits[place] = position, True
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, self._padding_sequence
            place += 1
        batch.n_tokens = place
        return padding

    def _write_inputs(self, tokens: Sequence[int]) -> None:
        """A batch has ids or embeddings: of a trimmed file embeddings, if it lacks one of the tokens."""
        batch, trimmed = self._batch, self.trimmed
        self._point_at_ids()
        ids = tokens if trimmed is None else trimmed.places(tokens)
        if ids is not None:
            for place, token in enumerate(ids):
                batch.token[place] = token
        elif trimmed is not None:
            self._embeddings = np.ascontiguousarray(trimmed.embeddings(tokens))  # lives until the library has read it
            batch.embd = self._embeddings.ctypes.data_as(type(batch.embd))
            batch.token = type(batch.token)()

    def _point_at_ids(self) -> None:
        """Undo what a pass over embeddings has changed in the batch, whose arrays are the library's to free."""
        self._batch.embd, self._batch.token = type(self._batch.embd)(), self._token_ids

    def _branch(self, context: SequenceContext, feed: Feed) -> tuple[list[list[int]], list[int]]:
        """Of every token its sequences and its position after the context's end.

        A node of a tree belongs to the sequences of all leaves below it.
        """
        if feed.parents is None:
            return [[context.sequence]] * len(feed.tokens), list(range(len(feed.tokens)))
        context.tree = feed.parents
        context.branches = {leaf: self._free.pop() for leaf in leaves(feed.parents)}
        for sequence in context.branches.values():
            self.share_cells(context.sequence, sequence, 0, context.length)
        sees = visible(feed.parents)
        below = [[s for leaf, s in context.branches.items() if sees[leaf, node]] for node in range(len(feed.tokens))]
        return below, depths(feed.parents)

    def _describe(self, file: GgufFile, cells: int, name: str | None, *, trained_tokens: int, gpu: bool) -> Description:
        """name: for display, or None. trained_tokens: of the longest context that the model was trained on."""
        name = name or self.tokenizer.metadata("general.name") or file.stem
        return Description(
            name=name if self.trimmed is None else f"{name}, {self.trimmed.columns:,} tokens",
            runtime=self.title,
            quantisation=file_type(self.tokenizer.metadata("general.file_type")),
            parameters=sum(prod(tensor.shape) for tensor in file.tensors.values()),
            size_bytes=file.size_bytes,
            context_tokens=min(cells, trained_tokens),
            computes_on="GPU" if gpu else on_threads(self.threads),
            gguf=file.path,
        )

    def _own(self, feed: Feed) -> SequenceContext:
        if not isinstance(feed.context, SequenceContext) or feed.context.model is not self:
            raise TypeError(f"expected a context of {self.description.name} on {self.title}")
        return feed.context


def view(pointer: Any, rows: int, columns: int) -> Floats:
    """float32[rows, columns], a view of the library's buffer."""
    return np.ctypeslib.as_array(pointer, shape=(rows, columns))
