"""For every context of a text: how often it occurred and which tokens followed, updated token by token.

A suffix automaton (Blumer et al. 1985) is the smallest automaton that accepts exactly the substrings of a text. Each
state stands for all substrings that end at the same set of positions. Appending a token takes amortised constant time
(Hu et al. 2024, "SAM-Decoding", section 3.1). Occurrences are counted only for contexts up to a length, so counting is
linear too: a new token adds one to the few states of its shortest contexts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_NONE = -1
_ROOT = 0
SEPARATOR = -1  # a token between two texts of one automaton; it is never predicted


class Match(NamedTuple):
    """The longest suffix of the tokens read so far that occurs: its state, and its length in tokens."""

    state: int
    length: int


class Level(NamedTuple):
    """counts: how often each token followed the last `length` tokens."""

    length: int
    counts: Mapping[int, int]


class SuffixAutomaton:
    """The substrings of `ids`; of those up to longest + 1 tokens also how often each occurred.

    Tokens are appended and removed at the end. Raises ValueError for a `longest` below 1.
    """

    def __init__(self, longest: int) -> None:
        if longest < 1:
            raise ValueError(f"expected contexts of at least one token, got {longest}")
        self.longest = longest
        self.ids: list[int] = []
        self._next: list[dict[int, int]] = [{}]
        self._link = [_NONE]  # the state of the longest suffix that also occurs at other positions
        self._length = [0]  # of the longest substring in each state
        self._count = [0]
        self._last = _ROOT  # the whole text
        self._counted = _ROOT  # the longest suffix of the text whose occurrences are counted
        self._history: list[tuple[int, int, int]] = []  # before each token: last, counted; and the state it split

    def __len__(self) -> int:
        """The number of states, at most 2 len(ids) + 1."""
        return len(self._next)

    def read(self, ids: Sequence[int]) -> None:
        """Make the text exactly `ids`: rewind to the longest common prefix and append the rest."""
        common = 0
        limit = min(len(self.ids), len(ids))
        if self.ids[:limit] == list(ids[:limit]):
            common = limit
        while common < limit and self.ids[common] == ids[common]:
            common += 1
        while len(self.ids) > common:
            self._pop()
        for token in ids[common:]:
            self.append(token)

    def append(self, token: int) -> None:
        """Add one token to the text."""
        last, counted = self._last, self._counted
        new = self._add(self._length[last] + 1, {}, _NONE, 0)
        state = last
        while state != _NONE and token not in self._next[state]:
            self._next[state][token] = new
            state = self._link[state]
        split = _NONE
        if state == _NONE:
            self._link[new] = _ROOT
        else:
            below = self._next[state][token]
            if self._length[below] > self._length[state] + 1:
                split, below = below, self._split(below, state, token)
            self._link[new] = below
        self._last = new
        self.ids.append(token)
        self._history.append((last, counted, split))
        self._counted = self._shortened(self._next[counted][token], min(self.longest + 1, len(self.ids)))
        self._tally(1)

    @property
    def end(self) -> Match:
        """The suffix of the text, of at most `longest` tokens."""
        length = min(self.longest, len(self.ids))
        return Match(self._shortened(self._counted, length), length)

    def find(self, ids: Sequence[int]) -> Match:
        """The longest suffix of `ids`, of at most `longest` tokens, that occurs."""
        match = Match(_ROOT, 0)
        if self._next[_ROOT]:  # else there is no text
            for token in ids:
                match = self.follow(match, token)
        return match

    def follow(self, match: Match, token: int) -> Match:
        """The longest suffix of the match and `token`, of at most `longest` tokens, that occurs."""
        state, length = match
        while state != _ROOT and token not in self._next[state]:
            state = self._link[state]
            length = self._length[state]
        if token not in self._next[state]:
            return Match(_ROOT, 0)
        length = min(length + 1, self.longest)
        return Match(self._shortened(self._next[state][token], length), length)

    def levels(self, match: Match, shortest: int) -> Iterator[Level]:
        """The counts after the match and after its suffixes down to `shortest` tokens; empty ones are left out."""
        state, length = match
        while state != _ROOT and length >= shortest:
            counts = {token: self._count[after] for token, after in self._next[state].items() if token != SEPARATOR}
            if counts:
                yield Level(length, counts)
            state = self._link[state]
            length = self._length[state]

    def count(self, context: Sequence[int]) -> int:
        """How often a context of 1 to longest + 1 tokens occurred. Raises ValueError for any other length."""
        if not 0 < len(context) <= self.longest + 1:
            raise ValueError(f"expected 1 to {self.longest + 1} tokens, got {len(context)}")
        state: int | None = _ROOT
        for token in context:
            state = self._next[state].get(token) if state is not None else None
        return 0 if state is None else self._count[state]

    def _add(self, length: int, following: dict[int, int], link: int, count: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        self._count.append(count)
        return len(self._next) - 1

    def _split(self, below: int, state: int, token: int) -> int:
        """Give the shorter substrings of `below`, which now end at one more position, a state of their own."""
        clone = self._add(self._length[state] + 1, dict(self._next[below]), self._link[below], self._count[below])
        self._link[below] = clone
        self._redirect(state, token, below, clone)
        return clone

    def _redirect(self, state: int, token: int, old: int, new: int) -> int:
        """Along the suffix links, change transitions by `token` from `old` to `new`. Returns the first other state."""
        while state != _NONE and self._next[state].get(token) == old:
            if new == _NONE:
                del self._next[state][token]
            else:
                self._next[state][token] = new
            state = self._link[state]
        return state

    def _shortened(self, state: int, length: int) -> int:
        """The state of the suffix of `length` tokens, given the state of the same or a longer suffix."""
        while state != _ROOT and self._length[self._link[state]] >= length:
            state = self._link[state]
        return state

    def _tally(self, change: int) -> None:
        """Add `change` to the count of every suffix of the text that is short enough."""
        state = self._counted
        while state != _ROOT:
            self._count[state] += change
            state = self._link[state]

    def _pop(self) -> None:
        """Remove the last token: undo `append` in reverse order."""
        self._tally(-1)
        new, token = self._last, self.ids.pop()
        self._last, self._counted, split = self._history.pop()
        if split != _NONE:
            self._link[split] = self._link[new + 1]
        state = self._redirect(self._last, token, new, _NONE)
        if split != _NONE:
            self._redirect(state, token, new + 1, split)
        for states in (self._next, self._link, self._length, self._count):
            del states[new:]


class EarlierTexts:
    """Several texts in one automaton of at most `most_tokens` tokens. The oldest texts are dropped first.

    Dropping rebuilds the automaton with three quarters of the tokens it may hold, so adding stays linear.
    """

    def __init__(self, longest: int, most_tokens: int) -> None:
        self._most = most_tokens
        self._texts: deque[Sequence[int]] = deque()
        self.automaton = SuffixAutomaton(longest)

    @property
    def tokens(self) -> int:
        """The tokens held, with one separator for each text."""
        return sum(len(text) + 1 for text in self._texts)

    def add(self, ids: Sequence[int]) -> None:
        """Add a text; of one that is too long only its end."""
        text = list(ids[max(0, len(ids) + 1 - self._most) :])
        if not text or not self._most:
            return
        self._texts.append(text)
        if self.tokens <= self._most:
            self._read(text)
            return
        while self.tokens > max(len(text) + 1, self._most * 3 // 4):
            self._texts.popleft()
        self.automaton = SuffixAutomaton(self.automaton.longest)
        for kept in self._texts:
            self._read(kept)

    def _read(self, text: Sequence[int]) -> None:
        for token in (*text, SEPARATOR):
            self.automaton.append(token)
