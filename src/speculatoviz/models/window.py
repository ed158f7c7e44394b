"""A context together with the ids it holds: the prefix cache, across rounds, turns and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import CancelledError
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel, Rows, Wanted


class Window:
    """Holds `ids`, and the hidden state behind each of them while it records.

    ids: what the context holds; what a tree fed is not among them before `accept`.
    """

    def __init__(self, model: LanguageModel, size: int) -> None:
        self.model = model
        self.context = model.open(size)
        self.ids: list[int] = []
        self.recording = False
        self._states: Floats | None = None  # float[size, D], of which `_known` are filled
        self._known = 0
        self._last: _Pass | None = None

    @property
    def states(self) -> Floats:
        """The hidden states behind the first ids, float[len(ids), D] while recording; a view until the next pass."""
        return np.empty((0, 0), np.float32) if self._states is None else self._states[: self._known]

    def record(self, on: bool = True) -> None:
        """Keep hidden states from now on, of every id: those it holds without are given up."""
        self.recording = on
        if on:
            self.keep(self._known)

    def missing(self, ids: Sequence[int]) -> list[int]:
        """Rewind to the longest common prefix with `ids`, and return what is still to be fed of them.

        Never empty: the last id is fed again where all are held, because its row is what the caller wants.
        """
        common = 0
        limit = min(len(self.ids), len(ids) - 1)
        while common < limit and self.ids[common] == ids[common]:
            common += 1
        self.keep(common)
        return list(ids[common:])

    def keep(self, length: int) -> None:
        """Rewind to the first `length` ids; a tree that was not settled is dropped."""
        if self.context.tree is not None:
            self.context.keep(self.context.length)
        self._last = None
        if length < len(self.ids):
            self.context.keep(length)
            del self.ids[length:]
            self._known = min(self._known, length)

    def accept(self, path: Sequence[int]) -> None:
        """Of the tokens of the last pass keep those at `path`, from a first one downwards; the rest is rewound."""
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
        if last.states is not None:
            self._record(last.base, last.states[list(path)])
        self._last = None

    def feed(self, tokens: Sequence[int], rows: Wanted = "all", parents: Sequence[int] | None = None) -> Floats:
        """Append tokens in one pass; logits float[rows, V], a view until the next pass."""
        return feed_together([Wish(self, tokens, rows, parents)])[0]

    def catch_up(self, tokens: Sequence[int], cancelled: Callable[[], bool]) -> Floats:
        """Append any number of tokens in chunks; the last row, float[1, V].

        Raises CancelledError between chunks once cancelled.
        """
        for start in range(0, len(tokens), PREFILL_TOKENS):
            if cancelled():
                raise CancelledError
            rows = self.feed(tokens[start : start + PREFILL_TOKENS], "last")
        return rows

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> None:
        """Hold exactly `ids`."""
        if todo := self.align(ids):
            self.catch_up(todo, cancelled)

    def align(self, ids: Sequence[int]) -> list[int]:
        """Rewind towards holding exactly `ids`, and return what is still to be fed; nothing where all are held."""
        if self.ids[: len(ids)] == list(ids):
            self.keep(len(ids))
            return []
        return self.missing(ids)

    def close(self) -> None:
        self.context.close()

    def wants(self, wish: Wish) -> Feed:
        """The feed of a wish; while recording, a state is wanted of every token."""
        rows: Wanted = "all" if self.recording else wish.rows
        return Feed(self.context, wish.tokens, rows, wish.parents, hidden=self.recording)

    def took(self, wish: Wish, rows: Rows) -> Floats:
        """Note what a pass has appended; the logits that were wished for."""
        base = len(self.ids)
        states = None if rows.hidden is None or not self.recording else rows.hidden
        if wish.parents is None:
            self.ids.extend(wish.tokens)
            if states is not None:
                self._record(base, states)
            states = None
        elif states is not None:
            states = states.copy()  # the path is chosen when the view may be gone
        self._last = _Pass(base, wish.tokens, wish.parents, states)
        return rows.logits if wish.rows == "all" else rows.logits[-1:]

    def undo(self) -> None:
        """Drop what a failed pass may have left in the context."""
        self.context.keep(min(self.context.length, len(self.ids)))
        self._last = None

    def _record(self, base: int, states: Floats) -> None:
        if self._states is None:
            self._states = np.empty((self.context.size, states.shape[1]), states.dtype)
        self._states[base : base + len(states)] = states
        self._known = base + len(states)


class Wish(NamedTuple):
    """Tokens to append to a window in the next pass; `parents` makes them a tree."""

    window: Window
    tokens: Sequence[int]
    rows: Wanted = "all"
    parents: Sequence[int] | None = None


class _Pass(NamedTuple):
    base: int
    tokens: Sequence[int]
    parents: Sequence[int] | None
    states: Floats | None


def feed_together(wishes: Sequence[Wish]) -> list[Floats]:
    """Append tokens to several windows of one model in one pass; logits float[rows, V] of each, views until the next.

    A pass that fails leaves every window as it was.
    """
    try:
        results = wishes[0].window.model.forward([wish.window.wants(wish) for wish in wishes])
    except Exception:
        for wish in wishes:
            wish.window.undo()
        raise
    return [wish.window.took(wish, rows) for wish, rows in zip(wishes, results, strict=True)]
