"""Contexts whose logits do not depend on how their tokens were fed, on a runtime whose kernels compute all rows alike.

Attention sums over the cells of a KV cache in their order, and rounding depends on it. So every context has a cache of
its own, and its cells are in the order of its tokens: after a tree, the tokens of the path that lie elsewhere are
computed again, together with the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speculatoviz.core.types import ROOT
from speculatoviz.models.base import (
    PREFILL_TOKENS,
    Capability,
    ContextBudget,
    Description,
    Feed,
    LocalTokenizer,
    Rows,
    check_feeds,
)
from speculatoviz.models.prefix_cache import Snapshot, SnapshotContext
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.tree import check_keep


class InvariantContext:
    """A context in a KV cache of its own. inner: the context of that cache; `owed` are the tokens that it lacks."""

    def __init__(self, model: InvariantModel, cache: SequenceModel, size: int) -> None:
        self.model, self.cache, self.size = model, cache, size
        self.inner = cache.open(size)
        self.owed: list[int] = []
        self.tree: Sequence[int] | None = None
        self._nodes: Sequence[int] = ()  # the tokens of the tree

    @property
    def length(self) -> int:
        return self.inner.length + len(self.owed)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`."""
        check_keep(self.length, length, self.tree, path)
        if self.tree is not None:
            self._settle(path)
        lacking = self.length - length if not path else 0
        held = len(self.owed) - min(lacking, len(self.owed))
        del self.owed[held:]
        if not path and length < self.inner.length:
            self.inner.keep(length)

    def _settle(self, path: Sequence[int]) -> None:
        """Keep the owed tokens, which came before the tree, and the nodes of the path whose cells follow them."""
        before, nodes = len(self.owed), [self._nodes[node] for node in path]
        following = next((depth for depth, node in enumerate(path) if node != depth), len(path))
        self.inner.keep(self.inner.length, range(before + following))
        self.owed = nodes[following:]
        self.tree, self._nodes = None, ()

    def feed(self, asked: Feed) -> Rows:
        """One pass over the owed tokens and those of the feed. Returns the rows of the feed."""
        if len(self.owed) + len(asked.tokens) > PREFILL_TOKENS:
            self.compute_owed()
        before = len(self.owed)
        parents = None
        if asked.parents is not None:
            chain = range(ROOT, before - 1)
            parents = [*chain, *(before + parent if parent != ROOT else before - 1 for parent in asked.parents)]
        tokens = [*self.owed, *asked.tokens]
        inner = replace(asked, context=self.inner, tokens=tokens, parents=parents)
        rows = self.cache.forward([inner])[0]
        if parents is None:
            self.owed = []
        else:
            self.tree, self._nodes = asked.parents, asked.tokens
        layers = None if rows.layers is None else rows.layers[before:]
        if asked.rows == "last":
            return replace(rows, layers=layers)
        return Rows(rows.logits[before:], None if rows.hidden is None else rows.hidden[before:], layers=layers)

    def compute_owed(self) -> None:
        """Compute the owed tokens in a pass of their own."""
        if self.owed:
            self.cache.forward([Feed(self.inner, self.owed, "last")])
            self.owed = []

    def snapshot(self) -> Snapshot | None:
        """See `SnapshotContext.snapshot`."""
        if not isinstance(self.inner, SnapshotContext):
            return None
        self.compute_owed()
        return self.inner.snapshot()

    def restore(self, state: Snapshot, length: int) -> bool:
        """See `SnapshotContext.restore`."""
        self.keep(0)
        return self.inner.restore(state, length)

    def close(self) -> None:
        """Free its cache."""
        self.model.release(self)


class InvariantModel:
    """A model whose passes compute each context by itself, in a cache of its own.

    model: the loaded model; it is closed with this one. trees: whether the rows of a tree are computed as those of its
    chains are.
    """

    def __init__(self, model: SequenceModel, *, trees: bool = True) -> None:
        self._model, self._trees = model, trees
        self._budget = ContextBudget(model.cells)
        self._open: list[InvariantContext] = []

    @property
    def tokenizer(self) -> LocalTokenizer:
        return self._model.tokenizer

    @property
    def computing(self) -> SequenceModel:
        """The model that computes its passes."""
        return self._model

    @property
    def layer_count(self) -> int:
        return int(getattr(self._model, "layer_count", 0))

    @property
    def layer_width(self) -> int:
        return int(getattr(self._model, "layer_width", 0))

    @property
    def description(self) -> Description:
        description = self._model.description
        return replace(description, computes_on=f"{description.computes_on}, batch-invariant")

    @property
    def provides(self) -> frozenset[Capability]:
        return self._model.provides if self._trees else self._model.provides - {"trees"}

    def open(self, size: int) -> InvariantContext:
        """A new context, in the model's own cache if that is free. Raises ContextFullError and ModelError."""
        self._budget.reserve(size)
        try:
            taken = any(context.cache is self._model for context in self._open)
            context = InvariantContext(self, self._model.sibling(size) if taken else self._model, size)
        except BaseException:
            self._budget.release(size)
            raise
        self._open.append(context)
        return context

    def release(self, context: InvariantContext) -> None:
        """Free the cache of a context, unless that was done."""
        if context not in self._open:
            return
        self._open.remove(context)
        self._budget.release(context.size)
        context.inner.close()
        if context.cache is not self._model:
            context.cache.close()

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """See `LanguageModel.forward`: a pass for each feed."""
        check_feeds(self, feeds)
        done: list[tuple[InvariantContext, int]] = []
        results: list[Rows] = []
        try:
            for feed in feeds:
                context = self._own(feed)
                before = context.length
                results.append(context.feed(feed))
                done.append((context, before))
        except BaseException:
            for context, before in done:
                context.keep(before)
            raise
        return results

    def snapshot_key(self) -> str:
        """See `StorableModel.snapshot_key`. What other modes have computed has other cells."""
        return f"batch-invariant {self._model.snapshot_key()}"

    def close(self) -> None:
        """Free the caches and the weights."""
        for context in list(self._open):
            self.release(context)
        self._model.close()

    def _own(self, feed: Feed) -> InvariantContext:
        if not isinstance(feed.context, InvariantContext) or feed.context.model is not self:
            raise TypeError(f"expected a context of {self.description.name}")
        return feed.context
