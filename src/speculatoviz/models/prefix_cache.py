"""Earlier prefixes of a model's contexts, kept in memory: a later run continues from the longest one it begins with.

A snapshot is a copy of a context's keys and values outside the KV cache, so that held prefixes cost a pass nothing.
Contract: a snapshot belongs to the ids that it was taken after, and is only restored for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from speculatoviz.core.types import Floats

Snapshot = NDArray[np.uint8]
SHORTEST = 64  # tokens that are worth a copy: one pass of a prefill computes as many


@runtime_checkable
class SnapshotContext(Protocol):
    """A context whose keys and values can be copied out and back."""

    def snapshot(self) -> Snapshot | None:
        """A copy of what it holds, without an unsettled tree; None if the runtime cannot make one."""

    def restore(self, state: Snapshot, length: int) -> bool:
        """Replace what it holds by a snapshot of `length` tokens. If False, it holds nothing."""


def _nothing() -> Floats:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Token ids and the snapshot after them, and what is known of the first ids.

    states float[m, D]: hidden states after the first m ids. inputs float[k, L * D]: of the inner layers `layers`, at
    the first k ids.
    """

    ids: tuple[int, ...]
    snapshot: Snapshot
    states: Floats
    layers: tuple[int, ...] = ()
    inputs: Floats = field(default_factory=_nothing)

    def usable(self, ids: Sequence[int], *, recorded: bool, layers: tuple[int, ...] = (), whole: bool = False) -> int:
        """How many of `ids` it can stand for.

        recorded: the hidden states are needed too. layers: and their inputs. whole: the snapshot cannot be cut.
        """
        common = common_length(self.ids, ids)
        if recorded:
            common = min(common, len(self.states))
        if layers:
            common = min(common, self.inputs_of(layers))
        return 0 if whole and common < len(self.ids) else common

    def inputs_of(self, layers: tuple[int, ...]) -> int:
        """Of how many of its first ids the inputs of these layers are known."""
        return len(self.inputs) if layers == self.layers else 0


class Known(NamedTuple):
    """Token ids of a context and what is known of the first ones, as in `Prefix`."""

    ids: Sequence[int]
    states: Floats
    layers: tuple[int, ...]
    inputs: Floats


class PrefixStore(Protocol):
    """Where prefixes outlive the process."""

    def load(self) -> Iterable[Prefix]:
        """The prefixes, from the least to the most recently used one."""

    def save(self, prefixes: Sequence[Prefix], most_tokens: int) -> None:
        """Keep these prefixes, and of older ones what fits `most_tokens` beside them."""


Offer = Callable[[Sequence[int], int], None]  # called with the ids of a prompt, and how many of them are known


class PrefixCache:
    """Several prefixes of one model, together at most `tokens` long. The least recently used one is dropped first.

    A prefix that another one contains, but for fewer than SHORTEST tokens, is not held beside it. files: those of an
    earlier process are taken over, and `save` writes them. holders: the windows that share the cache; each is called to
    store what it holds, if a prompt begins with it.
    """

    def __init__(self, tokens: int, files: PrefixStore | None = None) -> None:
        self.tokens, self.files = tokens, files
        self.holders: list[Offer] = []
        self._prefixes: list[Prefix] = []  # the most recently used one is the last
        for prefix in [] if files is None else files.load():
            self._add(prefix)

    @property
    def held_tokens(self) -> int:
        """The tokens of all prefixes."""
        return sum(len(prefix.ids) for prefix in self._prefixes)

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """From the least to the most recently used one."""
        return tuple(self._prefixes)

    def store(self, known: Known, snapshot: Callable[[], Snapshot | None]) -> None:
        """Keep a prefix, unless it is too short, too long, or held already. snapshot: called only if it is kept."""
        ids, states, layers, inputs = known
        if not SHORTEST <= len(ids) <= self.tokens:
            return
        for held in self._prefixes:
            if _lost(held, known) == 0:
                self._use(held)
                return
        copy = snapshot()
        if copy is not None:
            self._add(Prefix(tuple(ids), copy, states.copy(), layers, inputs.copy()))

    def find(
        self,
        ids: Sequence[int],
        known: int,
        *,
        recorded: bool,
        layers: tuple[int, ...] = (),
        whole: bool = False,
    ) -> Prefix | None:
        """The prefix that can stand for most of `ids`; None if it saves fewer than SHORTEST tokens.

        known: how many of `ids` need no prefix. recorded, layers, whole: see `Prefix.usable`.
        """
        found = self.peek(ids, known, recorded=recorded, layers=layers, whole=whole)
        if found is not None:
            self._use(found)
        return found

    def gather(self, ids: Sequence[int], known: int, asking: Offer) -> None:
        """Ask the other windows for what they hold of `ids`, if more than what is known or stored. asking: is left out.

        A window stores all that it holds; of a context that cannot be cut, only what is a prefix of `ids` as a whole.
        """
        stored = max((held.usable(ids, recorded=False) for held in self._prefixes), default=0)
        for offer in [holder for holder in self.holders if holder != asking]:
            offer(ids, max(known, stored))

    def peek(
        self, ids: Sequence[int], known: int, *, recorded: bool, layers: tuple[int, ...] = (), whole: bool = False
    ) -> Prefix | None:
        """As `find`, for a prefix that is not used now: it is dropped no later for it."""

        def usable(held: Prefix) -> int:
            return held.usable(ids, recorded=recorded, layers=layers, whole=whole)

        found = max(self._prefixes, key=usable, default=None)
        return None if found is None or usable(found) - known < SHORTEST else found

    def save(self) -> None:
        """Write the prefixes for later processes, if there is a place for them."""
        if self.files is not None:
            self.files.save(self._prefixes, self.tokens)

    def drop(self, prefix: Prefix) -> None:
        """Remove a prefix whose snapshot cannot be restored, if it is still held."""
        self._prefixes = [held for held in self._prefixes if held is not prefix]

    def clear(self) -> None:
        """Drop all prefixes."""
        self._prefixes = []

    def _add(self, added: Prefix) -> None:
        self._prefixes = [
            held
            for held in self._prefixes
            if _lost(added, Known(held.ids, held.states, held.layers, held.inputs)) >= SHORTEST
        ]
        self._prefixes.append(added)
        while self.held_tokens > self.tokens:
            self._prefixes.pop(0)

    def _use(self, prefix: Prefix) -> None:
        self._prefixes.remove(prefix)
        self._prefixes.append(prefix)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    limit = min(len(first), len(second))
    if list(first[:limit]) == list(second[:limit]):
        return limit
    return next(place for place in range(limit) if first[place] != second[place])


def _lost(prefix: Prefix, known: Known) -> int:
    """How many of the ids, of their hidden states or of their inputs of layers a prefix cannot stand for."""
    common = prefix.usable(known.ids, recorded=False)
    return max(
        len(known.ids) - common,
        len(known.states) - min(common, len(prefix.states)),
        len(known.inputs) - min(common, prefix.inputs_of(known.layers)),
    )
