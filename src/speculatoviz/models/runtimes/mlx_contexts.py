"""Contexts of MLX-LM: one cache per layer, of which some are cut and others are copied to be restored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, KVCache, RotatingKVCache, trim_prompt_cache

from speculatoviz.models.base import Feed
from speculatoviz.models.rewinder import Rewinder
from speculatoviz.models.tree import check_keep

KINDS = {KVCache, RotatingKVCache, ArraysCache}  # the caches that can be cut or copied


class ContextOwner(Protocol):
    """The model that a context is open on."""

    def release(self, context: MlxContext) -> None: ...
    def compute(self, feed: Feed) -> Any: ...


class MlxContext:
    """One cache per layer. The cells of a tree come after the sequence until `keep` moves those of a path."""

    def __init__(self, model: ContextOwner, caches: list[Any], size: int) -> None:
        self.model, self.caches, self.size = model, caches, size
        self.length = 0
        self.tree: Sequence[int] | None = None

    def prepare(self, feed: Feed) -> None:
        """Before a pass over `feed`."""

    def grow(self, feed: Feed) -> None:
        """After a pass over `feed`."""
        if feed.parents is None:
            self.length += len(feed.tokens)
        self.tree = feed.parents

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`."""
        check_keep(self.length, length, self.tree, path)
        tree = len(self.tree or ())
        if path:
            for cache in self.caches:
                _move(cache, length, [length + node for node in path])
        trim_prompt_cache(self.caches, self.length + tree - length - len(path))
        self.length, self.tree = length + len(path), None

    def undo(self, length: int) -> None:
        """Rewind every layer to `length` after a failed pass, of which some layers may hold more than others."""
        for cache in self.caches:
            trim_prompt_cache([cache], cache.offset - length)
        self.length, self.tree = length, None

    def close(self) -> None:
        """Free the caches."""
        if self.caches:
            self.model.release(self)
            self.caches = []
            mx.clear_cache()


class CopiedContext(MlxContext):
    """A context with recurrent layers, or one that is longer than the window of a layer.

    Keys and values of whole sequences are cut. The other caches are restored from a copy: MLX never changes an array
    that another name refers to, so a copy of the references is one.
    """

    def __init__(self, model: ContextOwner, caches: list[Any], size: int) -> None:
        super().__init__(model, caches, size)
        self._cut = [cache for cache in caches if isinstance(cache, KVCache)]
        self._copied = [cache for cache in caches if not isinstance(cache, KVCache)]
        self._empty = self.save(0)
        self.rewinder = Rewinder[list[Any]](self)

    def reach(self, length: int) -> int:
        """See `PartialContext.reach`."""
        return self.rewinder.reach(length)

    def prepare(self, feed: Feed) -> None:
        self.rewinder.prepare(feed)

    def grow(self, feed: Feed) -> None:
        self.rewinder.grow(feed)
        super().grow(feed)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        self.rewinder.keep(length, path)
        self.length = length

    def undo(self, length: int) -> None:
        self.rewinder.lose()
        self.keep(length)

    # --- RecurrentCalls -------------------------------------------------------------------------------

    def save(self, length: int) -> list[Any]:
        del length
        return [_copy(cache) for cache in self._copied]

    def load(self, state: list[Any] | None, length: int) -> None:
        for cache in self._cut:
            trim_prompt_cache([cache], cache.offset - length)
        for cache, held in zip(self._copied, self._empty if state is None else state, strict=True):
            cache.state = _copied_state(held)

    def free(self, state: list[Any]) -> None:
        state.clear()

    def roll_back(self, length: int) -> bool:
        del length
        return False

    def compute(self, tokens: Sequence[int]) -> None:
        self.model.compute(Feed(self, tokens, "last"))


def _copy(cache: Any) -> Any:
    return _copied_state(cache.state)


def _copied_state(state: Any) -> Any:
    """The same numbers under other names: assigning to a part of an array changes what its own name refers to."""
    if isinstance(state, (list, tuple)):
        return type(state)(_copied_state(part) for part in state)
    return mx.array(state) if isinstance(state, mx.array) else state


def _move(cache: KVCache, start: int, sources: list[int]) -> None:
    """Copy the cells `sources` to `start` and the following ones, in that order."""
    end, picked = start + len(sources), mx.array(sources)
    cache.keys[..., start:end, :] = mx.take(cache.keys, picked, axis=2)
    cache.values[..., start:end, :] = mx.take(cache.values, picked, axis=2)
