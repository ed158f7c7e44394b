"""Whether a model's logits depend on how its tokens were fed: the same tokens in every shape that runs use, bit by bit.

The reference is plain decoding, one token in a pass. Every other shape feeds the same text: prefill chunks, passes of 1
to 17 rows, rejected drafts, several contexts in one pass, restored snapshots, hidden states, trees. Kernels change with
the length of the context too, so the shapes are fed along the whole text.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.models.base import PREFILL_TOKENS, Context, Feed, LanguageModel
from speculatoviz.models.prefix_cache import SnapshotContext

# Where the shapes are compared: at the beginning, and across 256 and 512 cells, where attention changes its kernels.
_BASES = (0, 232, 488)
WINDOW = PREFILL_TOKENS  # tokens from each base on whose logits are compared
TOKENS = _BASES[-1] + WINDOW + 8  # of the text
CHECKED_TOKENS = 280  # of the shorter check at every start
_TAIL = 24  # tokens at the end of the shorter check whose logits are compared
# Rows of a pass: those of drafts, and what leaves one row over where a library computes 22 or 63 at once.
_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 23, 32, 45, 63, PREFILL_TOKENS)
_OTHER_CHUNK = 48  # rows of the passes that fill the cache once more in the shorter check
_BESIDE = 40  # tokens of a second context
LEAST_ROOM = WINDOW + _BESIDE
# A tree in which the true text is the path: other tokens stand before it, beside it and after it.
#      0     1
#    2   3     4
#        5   6   7
#              8
_PARENTS = (-1, -1, 0, 0, 1, 3, 4, 4, 7)
_PATHS = ((1, 4, 7, 8), (0, 2), (0, 3, 5), (1, 4, 6))


@dataclass(frozen=True, slots=True)
class Departure:
    """The first logits that differ from plain decoding.

    shape: of their pass, in words. context_tokens: before and with their token. total_variation: between the two
    next-token distributions, 1/2 sum |a - b|.
    """

    shape: str
    context_tokens: int
    total_variation: float

    def __str__(self) -> str:
        """For an error: "in a pass of 4 rows after 12 tokens (total variation 0.021)"."""
        tokens = "1 token" if self.context_tokens == 1 else f"{self.context_tokens} tokens"
        return f"in {self.shape} after {tokens} (total variation {self.total_variation:.2g})"


class _DepartedError(Exception):
    """Logits differ. row: those that a shape gave at `position`."""

    def __init__(self, shape: str, position: int, row: Floats) -> None:
        super().__init__(shape)
        self.shape, self.position, self.row = shape, position, row.copy()


@dataclass(frozen=True, slots=True)
class Proof:
    """That every shape gave the logits of plain decoding. tokens: of the longest context. trees: of trees too."""

    tokens: int
    trees: bool


class Comparison(NamedTuple):
    """The first departure of anything but trees, and that of trees; None where all logits are equal."""

    chains: Departure | None
    trees: Departure | None


class ShapeComparer:
    """Compares the shapes of one model with plain decoding of `ids`.

    ids: TOKENS of ordinary text; fewer are compared if there is no room for more. room: tokens that all contexts of the
    model can hold together, at least LEAST_ROOM. progress: called with how far the comparison has come; what it raises
    ends it.
    """

    def __init__(
        self, model: LanguageModel, ids: Sequence[int], room: int, progress: Callable[[float], None] = lambda _: None
    ) -> None:
        self._model, self._ids, self._progress = model, list(ids[: room - _BESIDE]), progress
        self._size = min(len(self._ids) + WINDOW, room - _BESIDE)  # rejected drafts reach beyond the text
        self._digests: dict[int, bytes] = {}  # of the logits after each position

    @property
    def tokens(self) -> int:
        """The longest context that is compared."""
        return len(self._ids)

    def compare(self) -> Comparison:
        """Compare every shape at every length. Trees are compared only while everything else is equal."""
        trees: Departure | None = None
        with _opened(self._model, self._size) as context:
            for index, base in enumerate(self._bases):
                self._progress(index / len(self._bases))
                self._prefill(context, base)
                if (chains := self._first(context, base, self._plain, self._sizes, self._events)) is not None:
                    return Comparison(chains, None)
                if trees is None and "trees" in self._model.provides:
                    trees = self._first(context, base, self._trees)
            return Comparison(self._first(context, 0, self._ragged), trees)

    def check(self) -> Departure | None:
        """Compare the last tokens of the text, in a few passes."""
        base = max(0, len(self._ids) - _TAIL)
        with _opened(self._model, self._size) as context:
            self._prefill(context, base)
            return self._first(context, base, self._plain, self._tail)

    @property
    def _bases(self) -> list[int]:
        return [base for base in _BASES if base + WINDOW <= len(self._ids)] or [0]

    def _first(self, context: Context, base: int, *walks: Callable[[Context], None]) -> Departure | None:
        """The first departure of walks that begin after `base` tokens. Afterwards the context holds those."""
        departure = None
        try:
            for walk in walks:
                context.keep(base)
                walk(context)
        except _DepartedError as found:
            departure = self._measured(context, base, found)
        context.keep(base)
        return departure

    def _measured(self, context: Context, base: int, found: _DepartedError) -> Departure:
        """The departure with its total variation: plain decoding kept no logits, so they are computed again."""
        context.keep(context.length)  # drops a tree
        context.keep(min(base, found.position))
        for position in range(context.length, found.position + 1):
            row = self._feed(context, [self._ids[position]])[0]
        variation = 0.5 * float(np.abs(_probabilities(row) - _probabilities(found.row)).sum())
        return Departure(found.shape, found.position + 1, variation)

    # --- the shapes -----------------------------------------------------------------------------------

    def _plain(self, context: Context) -> None:
        for position in range(context.length, min(len(self._ids), context.length + WINDOW)):
            self._digests[position] = _digest(self._feed(context, [self._ids[position]])[0])

    def _tail(self, context: Context) -> None:
        base = context.length
        for size in (_TAIL, 2, 3, 4, 5, 8, 12):
            context.keep(base)
            self._walk(context, itertools.repeat(size))
        context.keep(0)
        self._walk(context, itertools.repeat(_OTHER_CHUNK))

    def _sizes(self, context: Context) -> None:
        base = context.length
        for size in _SIZES:
            context.keep(base)
            self._after(None, context, min(size, len(self._ids) - base))
        context.keep(base)
        self._prefill(context, base + WINDOW)

    def _ragged(self, context: Context) -> None:
        """The whole text in passes of changing sizes: what they leave in the cache shows in the later logits."""
        self._walk(context, itertools.cycle((11, 2, 7, 16, 1, 5, 23, 3)))

    def _events(self, context: Context) -> None:
        """What happens between passes."""
        for drafted, accepted in ((1, 0), (3, 1), (7, 4), (16, 0)):
            self._reject(context, drafted, accepted)
        self._two_contexts(context)
        self._restore(context)
        if "hidden" in self._model.provides:
            self._after("a pass with hidden states", context, 3, hidden=True)

    def _reject(self, context: Context, drafted: int, accepted: int) -> None:
        """A draft of which some tokens are rejected."""
        base = context.length
        wrong = self._others(base + 1 + accepted, drafted - accepted)
        rows = self._feed(context, [*self._ids[base : base + 1 + accepted], *wrong])
        self._check(f"a pass of {len(rows)} rows", base, rows[: 1 + accepted])
        context.keep(base + 1 + accepted)

    def _two_contexts(self, context: Context) -> None:
        """Other text in the same passes, in a context that is opened and closed meanwhile."""
        with _opened(self._model, _BESIDE) as beside:
            for count, others in ((1, 1), (3, 8), (2, 1)):
                base = context.length
                feeds = [Feed(beside, self._others(base, others)), Feed(context, self._next(context, count))]
                logits = self._model.forward(feeds)[1].logits
                self._check("a pass over two contexts", base, logits)
                beside.keep(beside.length - others // 2)
        self._after("a pass after another context", context, 1)

    def _restore(self, context: Context) -> None:
        """A prefix that comes from the prompt cache."""
        if isinstance(context, SnapshotContext) and (state := context.snapshot()) is not None:
            length = context.length
            context.keep(length // 3)
            self._feed(context, self._others(length // 3, 5))
            if context.restore(state, length):
                self._after("a pass after a restored prefix", context, 1)
                self._after("a pass after a restored prefix", context, 4)
            else:
                context.keep(0)
                self._prefill(context, length)

    def _trees(self, context: Context) -> None:
        for path in _PATHS:
            base = context.length
            tokens = self._others(base, len(_PARENTS))
            for depth, node in enumerate(path):
                tokens[node] = self._ids[base + depth]
            rows = self._model.forward([Feed(context, tokens, parents=_PARENTS)])[0].logits
            self._check("a tree", base, rows[list(path)])
            context.keep(base, path)
            self._after("a pass after a tree", context, 1 + path[0])

    # --- passes ---------------------------------------------------------------------------------------

    def _prefill(self, context: Context, length: int) -> None:
        """Come to `length` tokens, or to the end of the text, in prefill chunks."""
        length = min(length, len(self._ids))
        while context.length < length:
            tokens = self._ids[context.length : min(length, context.length + PREFILL_TOKENS)]
            last = self._model.forward([Feed(context, tokens, "last")])[0].logits
            self._check("the last row of a prefill chunk", context.length - 1, last)

    def _walk(self, context: Context, sizes: Iterator[int]) -> None:
        """Feed the rest of the text in passes of these sizes."""
        while context.length < len(self._ids):
            self._after(None, context, min(next(sizes), len(self._ids) - context.length))

    def _after(self, shape: str | None, context: Context, count: int, *, hidden: bool = False) -> None:
        """Feed the next tokens of the text in one pass, and compare its rows."""
        base = context.length
        rows = self._feed(context, self._next(context, count), hidden=hidden)
        self._check(shape or f"a pass of {count} {'row' if count == 1 else 'rows'}", base, rows)

    def _feed(self, context: Context, tokens: Sequence[int], *, hidden: bool = False) -> Floats:
        return self._model.forward([Feed(context, tokens, hidden=hidden)])[0].logits

    def _next(self, context: Context, count: int) -> list[int]:
        return self._ids[context.length : context.length + count]

    def _others(self, start: int, count: int) -> list[int]:
        """Other tokens than those of the text at these places."""
        places = [(start + 7 * offset + 3) % len(self._ids) for offset in range(count)]
        return [self._ids[place] for place in places]

    def _check(self, shape: str, base: int, rows: Floats) -> None:
        """Raises _DepartedError for the first of these rows, from position `base` on, that is known and differs."""
        for position, row in enumerate(rows, base):
            if position in self._digests and _digest(row) != self._digests[position]:
                raise _DepartedError(shape, position, row)


@contextmanager
def _opened(model: LanguageModel, size: int) -> Iterator[Context]:
    context = model.open(size)
    try:
        yield context
    finally:
        context.close()


def _digest(row: Floats) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()


def _probabilities(row: Floats) -> Floats:
    weights = np.exp(row.astype(np.float64) - row.max())
    result: Floats = weights / weights.sum()
    return result
