"""Contexts that are sequences of a KV cache: plain ones, and those of models with recurrent layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from speculatoviz.errors import ModelError
from speculatoviz.models.base import Description, Feed
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.rewinder import CHECKPOINTS, Rewinder
from speculatoviz.models.tree import check_keep, visible


class SequenceCache(Protocol):
    """The model that a context is a sequence of. See `SequenceModel`, which has the other calls."""

    @property
    def description(self) -> Description: ...
    def share_cells(self, source: int, target: int, start: int, end: int) -> None: ...
    def remove_cells(self, sequence: int, start: int) -> bool: ...
    def copy_state(self, sequence: int) -> Snapshot | None: ...
    def write_state(self, sequence: int, state: Snapshot) -> bool: ...
    def give_back(self, sequences: Iterable[int]) -> None: ...
    def release(self, context: SequenceContext) -> None: ...
    def compute(self, feeds: Sequence[Feed]) -> None: ...


class SequenceContext:
    """One sequence of the model's KV cache, and one more for every leaf of a tree that is not settled."""

    def __init__(self, model: SequenceCache, sequence: int, size: int) -> None:
        self.model, self.sequence, self.size = model, sequence, size
        self.length = 0
        self._closed = False
        self.tree: Sequence[int] | None = None
        self.branches: dict[int, int] = {}  # leaf -> its sequence

    @property
    def held(self) -> int:
        """The tokens that the cache holds, and after which a pass appends."""
        return self.length

    @property
    def sequences(self) -> list[int]:
        """All that it was opened with."""
        return [self.sequence]

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`. Raises ModelError if the model cannot rewind."""
        check_keep(self.length, length, self.tree, path)
        if path:
            sees = visible(self.tree or ())
            branch = next(sequence for leaf, sequence in self.branches.items() if sees[leaf, path[-1]])
            self.model.share_cells(branch, self.sequence, length, length + len(path))
        self.drop_tree()
        if length < self.length and not self.model.remove_cells(self.sequence, length):
            raise cannot_rewind(self.model.description.name)
        self.length = length + len(path)

    def prepare(self, feed: Feed) -> None:
        """Before a pass over `feed`."""

    def grow(self, feed: Feed) -> None:
        """After a pass over `feed`."""
        if feed.parents is None:
            self.length += len(feed.tokens)

    def drop_partial(self) -> None:
        """Remove what a failed pass has left in the cache."""
        self.drop_tree()
        self.model.remove_cells(self.sequence, self.length)

    def snapshot(self) -> Snapshot | None:
        """See `SnapshotContext.snapshot`."""
        return None if self._closed else self.model.copy_state(self.sequence)

    def restore(self, state: Snapshot, length: int) -> bool:
        """See `SnapshotContext.restore`."""
        self.keep(0)
        if length > self.size or not self.model.write_state(self.sequence, state):
            self.model.remove_cells(self.sequence, 0)
            return False
        self.length = length
        return True

    def drop_tree(self) -> None:
        """Remove the sequences of the tree's leaves."""
        self.model.give_back(self.branches.values())
        self.tree, self.branches = None, {}

    def close(self) -> None:
        """Return its cells and its sequence to the model."""
        if not self._closed:
            self._closed = True  # its sequence may soon be another context's
            self.model.release(self)


class RecurrentSequence(SequenceContext):
    """A sequence whose state cannot be cut. Its copies are further sequences, which share its cells until it grows.

    sequences: 1 + CHECKPOINTS of them. snapshots: the tokens of a pass that the library rolls back.
    """

    def __init__(self, model: SequenceCache, sequences: Sequence[int], size: int, snapshots: int) -> None:
        super().__init__(model, sequences[0], size)
        self._spare = list(sequences[1 : 1 + CHECKPOINTS])
        self._all = list(sequences)
        self.rewinder = Rewinder[int](self, snapshots)

    @property
    def held(self) -> int:
        return self.rewinder.held

    @property
    def sequences(self) -> list[int]:
        return self._all

    def reach(self, length: int) -> int:
        """See `PartialContext.reach`."""
        return self.rewinder.reach(length)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        self.rewinder.keep(length, path)
        self.length = len(self.rewinder.ids)

    def prepare(self, feed: Feed) -> None:
        self.rewinder.prepare(feed)

    def grow(self, feed: Feed) -> None:
        self.rewinder.grow(feed)
        self.length = len(self.rewinder.ids)

    def drop_partial(self) -> None:
        self.rewinder.lose()

    def snapshot(self) -> Snapshot | None:
        """The ids, which a rewind needs, then the state."""
        self.rewinder.settle()
        state = super().snapshot()
        if state is None:
            return None
        ids = np.array([self.length, *self.rewinder.ids], np.int64)
        return np.concatenate([ids.view(np.uint8), state])

    def restore(self, state: Snapshot, length: int) -> bool:
        self.keep(0)
        if int(state[:8].view(np.int64)[0]) != length or not super().restore(state[8 * (length + 1) :], length):
            return False
        self.rewinder.replace(state[8 : 8 * (length + 1)].view(np.int64).tolist())
        return True

    # --- RecurrentCalls -------------------------------------------------------------------------------

    def save(self, length: int) -> int:
        sequence = self._spare.pop()
        self.model.share_cells(self.sequence, sequence, 0, length)
        return sequence

    def load(self, state: int | None, length: int) -> None:
        self.model.remove_cells(self.sequence, 0)
        if state is not None:
            self.model.share_cells(state, self.sequence, 0, length)

    def free(self, state: int) -> None:
        self.model.remove_cells(state, 0)
        self._spare.append(state)

    def roll_back(self, length: int) -> bool:
        return self.model.remove_cells(self.sequence, length)

    def compute(self, tokens: Sequence[int]) -> None:
        self.model.compute([Feed(self, tokens, "last")])


def cannot_rewind(name: str, remedy: str = "Choose a model without recurrent layers") -> ModelError:
    """The error of a model whose state cannot return to an earlier one. remedy: what else to do."""
    return ModelError(f"{name} cannot rewind its context.", f"{remedy}: speculation takes tokens back.")
