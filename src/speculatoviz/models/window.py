"""A context together with the ids that it holds: the prefix cache, across rounds, turns and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import CancelledError
from speculatoviz.models.base import Feed, LanguageModel, Rows, RowSelection
from speculatoviz.models.joint_pass import OwnPasses, Passes
from speculatoviz.models.prefix_cache import SHORTEST, Known, PrefixCache, SnapshotContext, common_length
from speculatoviz.models.rewinder import PartialContext

_MOST_COPIED = 4  # tokens that are copied for each one that another window can use


class Recorded:
    """Rows of numbers after the first `known` tokens of a context of `size` tokens. on: whether more are recorded."""

    def __init__(self, size: int) -> None:
        self.on, self.known = False, 0
        self._size = size
        self._rows: Floats | None = None

    @property
    def rows(self) -> Floats:
        """float[known, W], a view."""
        return np.empty((0, 0), np.float32) if self._rows is None else self._rows[: self.known]

    def put(self, base: int, rows: Floats) -> None:
        """Record rows float[n, W] of the tokens from `base` on, and forget the ones after them."""
        if self._rows is None:
            self._rows = np.empty((self._size, rows.shape[1]), rows.dtype)
        self._rows[base : base + len(rows)] = rows
        self.known = base + len(rows)


class Window:
    """A context, its ids, and what it records of the passes: hidden states, and inputs of inner layers.

    ids: the committed tokens of the context. The tokens of a tree join them when `accept` chooses a path. prefixes:
    where it keeps what a rewind would drop, and looks for what a run begins with. layers: the inner layers whose inputs
    it records when it is asked to. reused: how many ids did not have to be computed at the last `align`. passes: who
    computes its passes; by default each is computed at once.
    """

    def __init__(
        self,
        model: LanguageModel,
        size: int,
        prefixes: PrefixCache | None = None,
        passes: Passes | None = None,
    ) -> None:
        self.model, self.prefixes = model, prefixes
        self.passes: Passes = passes or OwnPasses()
        self.context = model.open(size)
        # Looked up once: an isinstance with a protocol takes as long as a few hundred other steps.
        self._partial = self.context if isinstance(self.context, PartialContext) else None
        self._snapshots = self.context if isinstance(self.context, SnapshotContext) else None
        self.ids: list[int] = []
        self.layers: tuple[int, ...] = ()
        self.reused = 0
        self._states, self._inputs = Recorded(self.context.size), Recorded(self.context.size)
        self._last: _Pass | None = None
        if prefixes is not None:
            prefixes.holders.append(self._offer)

    @property
    def states(self) -> Floats:
        """float[m, D]: the hidden state after each of the first m ids. A view until the next pass.

        While recording, m is len(ids).
        """
        return self._states.rows

    @property
    def layer_inputs(self) -> Floats:
        """float[m, L * D]: the inputs of `layers` at each of the first m ids, in the same way."""
        return self._inputs.rows

    @property
    def recording(self) -> bool:
        """Whether hidden states are recorded."""
        return self._states.on

    def read_layers(self, layers: Sequence[int]) -> None:
        """Record the inputs of these inner layers whenever `record` asks for them."""
        if tuple(layers) != self.layers:
            self.layers, self._inputs = tuple(layers), Recorded(self.context.size)

    def record(self, hidden: bool = True, layers: bool = False) -> None:
        """Record hidden states, and inputs of `layers`, from now on. Rewinds to the ids of which they are known."""
        self._states.on, self._inputs.on = hidden, layers and bool(self.layers)
        for recorded in (self._states, self._inputs):
            if recorded.on:
                self.keep(recorded.known)

    def common(self, ids: Sequence[int]) -> int:
        """The length of the longest common prefix of `ids` and what is held."""
        return common_length(self.ids, ids)

    def known(self, ids: Sequence[int]) -> int:
        """How many of `ids` `align` needs no pass for: those held, or those of a stored prefix. Changes nothing."""
        held = self._reach(self.common(ids))
        if self.prefixes is None or self._snapshots is None:
            return held
        whole, layers, recorded = self._partial is not None, self._wanted_layers, self._states.on
        found = self.prefixes.peek(ids, held, recorded=recorded, layers=layers, whole=whole)
        return held if found is None else found.usable(ids, recorded=recorded, layers=layers, whole=whole)

    def missing(self, ids: Sequence[int]) -> list[int]:
        """Rewind to the longest common prefix with `ids`, and return the rest of them, which has to be fed.

        Never empty: if all are held, the last one is fed again, because the caller needs its row. A context that cannot
        return to that prefix returns to a shorter one.
        """
        common = self._reach(min(self.common(ids), len(ids) - 1))
        self.keep(common)
        return list(ids[common:])

    def keep(self, length: int) -> None:
        """Rewind to the first `length` ids. A tree that was not settled is dropped."""
        if self.context.tree is not None:
            self.context.keep(self.context.length)
        self._last = None
        if length < len(self.ids):
            if len(self.ids) - length >= SHORTEST:
                self.store()
            self.context.keep(length)
            del self.ids[length:]
            for recorded in (self._states, self._inputs):
                recorded.known = min(recorded.known, length)

    def accept(self, path: Sequence[int]) -> None:
        """Keep the tokens at `path` of the last pass, from a first one downwards, and rewind the others.

        path: indices into the tokens of that pass. Raises ValueError if there was none, or for another path.
        """
        last = self._last
        if last is None:
            raise ValueError("expected a pass before accept()")
        if last.parents is None:
            if list(path) != list(range(len(path))):
                raise ValueError(f"expected the beginning of a chain, got {list(path)}")
            self.keep(last.base + len(path))
            return
        self.context.keep(last.base, path)
        self.ids.extend(last.tokens[node] for node in path)
        for recorded, rows in ((self._states, last.states), (self._inputs, last.inputs)):
            if rows is not None:
                recorded.put(last.base, rows[list(path)])
        self._last = None

    def feed(self, tokens: Sequence[int], rows: RowSelection = "all", parents: Sequence[int] | None = None) -> Floats:
        """Append tokens in one pass. Returns logits float[r, V], a view until the next pass."""
        return feed_together([WindowFeed(self, tokens, rows, parents)])[0]

    def catch_up(self, tokens: Sequence[int], cancelled: Callable[[], bool]) -> Floats:
        """Append any number of tokens in chunks. Returns the last row, float[1, V].

        Raises CancelledError between two chunks if cancelled.
        """
        start = 0
        while start < len(tokens):
            if cancelled():
                raise CancelledError
            end = start + self.passes.chunk_tokens
            rows = self.feed(tokens[start:end], "last")
            start = end
        return rows

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> None:
        """Hold exactly `ids`, feeding what is missing. Raises CancelledError like `catch_up`."""
        if todo := self.align(ids):
            self.catch_up(todo, cancelled)

    def align(self, ids: Sequence[int]) -> list[int]:
        """Come as close to holding exactly `ids` as is possible without a pass, and return the ones still to be fed.

        None if all are held. What another prefix of the cache holds is restored.
        """
        self._recall(ids)
        if self.ids[: len(ids)] == list(ids) and self._reach(len(ids)) == len(ids):
            self.keep(len(ids))
            self.reused = len(ids)
            return []
        missing = self.missing(ids)
        self.reused = len(ids) - len(missing)
        return missing

    def _reach(self, length: int) -> int:
        """The greatest length, at most `length`, that the context returns to at no cost."""
        return length if self._partial is None else self._partial.reach(length)

    def store(self) -> None:
        """Keep what is held in the cache of prefixes, if there is one."""
        if self.prefixes is not None and self._snapshots is not None:
            self.prefixes.store(Known(self.ids, self.states, self.layers, self.layer_inputs), self._snapshots.snapshot)

    def clear(self) -> None:
        """Hold nothing, and forget all stored prefixes."""
        self.keep(0)
        if self.prefixes is not None:
            self.prefixes.clear()

    def close(self) -> None:
        """Free the context's memory. What it held is stored, if the cache of prefixes outlives the process."""
        if self.prefixes is not None and self.prefixes.files is not None:
            self.keep(len(self.ids))
            self.store()
            self.prefixes.save()
        if self.prefixes is not None and self._offer in self.prefixes.holders:
            self.prefixes.holders.remove(self._offer)
        self.context.close()

    def _offer(self, ids: Sequence[int], known: int) -> None:
        """Store what is held, if another window can begin `ids` with it. known: how many of them it needs no pass for.

        A copy is of all that is held: it is not worth it for a small part.
        """
        if self.context.tree is not None:  # of a run that failed
            return
        common = self.common(ids)
        whole = isinstance(self.context, PartialContext)
        if common - known >= SHORTEST and len(self.ids) <= (1 if whole else _MOST_COPIED) * common:
            self.store()

    def _recall(self, ids: Sequence[int]) -> None:
        """Restore the prefix that stands for most of `ids`, if that saves a pass."""
        context = self._snapshots
        if self.prefixes is None or context is None:
            return
        known, whole = self._reach(self.common(ids)), self._partial is not None
        layers = self._wanted_layers
        self.prefixes.gather(ids, known, self._offer)
        found = self.prefixes.find(ids, known, recorded=self._states.on, layers=layers, whole=whole)
        if found is None or len(found.ids) > self.context.size:
            return
        self.keep(0)
        if not context.restore(found.snapshot, len(found.ids)):
            self.prefixes.drop(found)
            return
        self.ids = list(found.ids)
        if len(found.states):
            self._states.put(0, found.states)
        if len(found.inputs) and found.layers == self.layers:
            self._inputs.put(0, found.inputs)
        for recorded in (self._states, self._inputs):
            if recorded.on:
                self.keep(recorded.known)  # a prefix can hold tokens of which not everything is known

    def context_feed(self, request: WindowFeed) -> Feed:
        """The feed of the context for a request; while recording it asks for the state after every token."""
        rows: RowSelection = "all" if self.recording else request.rows
        hidden, layers = self.recording, self._wanted_layers
        return Feed(self.context, request.tokens, rows, request.parents, hidden=hidden, layers=layers)

    def after_pass(self, request: WindowFeed, rows: Rows) -> Floats:
        """Record what a pass has appended, and return the logits that were asked for."""
        base = len(self.ids)
        states = rows.hidden if self._states.on else None
        inputs = rows.layers if self._inputs.on else None
        if request.parents is None:
            self.ids.extend(request.tokens)
            for recorded, row in ((self._states, states), (self._inputs, inputs)):
                if row is not None:
                    recorded.put(base, row)
            states = inputs = None
        else:  # the path may be chosen after the views have ended
            states, inputs = (None if rows is None else rows.copy() for rows in (states, inputs))
        self._last = _Pass(base, request.tokens, request.parents, states, inputs)
        return rows.logits if request.rows == "all" else rows.logits[-1:]

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One pass of the model."""
        return self.passes.forward(self.model, feeds)

    def undo(self) -> None:
        """Drop what a failed pass may have left in the context."""
        self.context.keep(min(self.context.length, len(self.ids)))
        self._last = None

    @property
    def _wanted_layers(self) -> tuple[int, ...]:
        return self.layers if self._inputs.on else ()


class WindowFeed(NamedTuple):
    """Tokens to append to a window in the next pass. parents: makes them a tree, as in `Feed`."""

    window: Window
    tokens: Sequence[int]
    rows: RowSelection = "all"
    parents: Sequence[int] | None = None


class _Pass(NamedTuple):
    base: int
    tokens: Sequence[int]
    parents: Sequence[int] | None
    states: Floats | None
    inputs: Floats | None = None


def feed_together(requests: Sequence[WindowFeed]) -> list[Floats]:
    """Append tokens to several windows of one model in one pass.

    Returns logits float[r, V] of each, views until the next pass. A pass that fails leaves every window as it was.
    """
    try:
        results = requests[0].window.forward([request.window.context_feed(request) for request in requests])
    except Exception:
        for request in requests:
            request.window.undo()
        raise
    return [request.window.after_pass(request, rows) for request, rows in zip(requests, results, strict=True)]
