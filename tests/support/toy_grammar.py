"""A grammar over a toy's tokens, written out by hand, and deliberately broken ways to apply a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from speculatoviz.core.constraint import GrammarSource
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.types import Draft, Floats
from speculatoviz.targets.layout import Layout

A, B, END = 0, 1, 2


class Automaton:
    """A constraint by states: after[state][token] is the next state. A state with one token forces it, and one without
    any is after the end."""

    def __init__(self, after: Sequence[Mapping[int, int]], n_vocab: int = 3) -> None:
        self._after, self._n_vocab = after, n_vocab

    @property
    def source(self) -> GrammarSource:
        return GrammarSource("regex", repr(self._after))

    def allowed(self, output: Sequence[int]) -> npt.NDArray[np.bool_] | None:
        state = self._state(output)
        if state is None or not self._after[state]:
            return None
        mask = np.zeros(self._n_vocab, np.bool_)
        mask[list(self._after[state])] = True
        return mask

    def forced(self, output: Sequence[int], most: int) -> tuple[int, ...]:
        state, tokens = self._state(output), list[int]()
        while state is not None and len(tokens) < most and len(self._after[state]) == 1:
            ((token, state),) = self._after[state].items()
            tokens.append(token)
        return tuple(tokens)

    def _state(self, output: Sequence[int]) -> int | None:
        state = 0
        for token in output:
            if token not in self._after[state]:
                return None
            state = self._after[state][token]
        return state


# b* (a b b*)*, then the end: after an `a`, a `b` is forced.
PAIRS = Automaton([{A: 1, B: 0, END: 2}, {B: 0}, {}])
# a b a b ..., without an end: everything is forced.
ALTERNATING = Automaton([{A: 1}, {B: 0}])


# --- broken twins of `targets.local._processed` ------------------------------------------------------------

Processed = Callable[[int], Floats]


def unmasked(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Leaves p as it is; only q is masked."""
    del draft, processor
    return lambda node: logits[rows.row(node)]


def masked_as_at_the_start(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Masks every position by what is allowed after the committed tokens."""
    del draft
    return lambda node: processor(logits[rows.row(node)])


def not_for_the_bonus(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Leaves p after a whole path as it is."""

    def of(node: int) -> Floats:
        row: Floats = logits[rows.row(node)]
        leaf = len(draft) > 0 and not draft.children(node)
        return row if leaf else processor(row, draft.tokens[draft.path(node)].tolist())

    return of
