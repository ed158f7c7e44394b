"""The automaton against counting by hand, its growth, and taking back what it read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.drafters.suffix_automaton import EarlierTexts, SuffixAutomaton

TEXTS = st.lists(st.integers(0, 2), max_size=40)
LONGEST = st.integers(1, 5)


def automaton(text: Sequence[int], longest: int) -> SuffixAutomaton:
    made = SuffixAutomaton(longest)
    for token in text:
        made.append(token)
    return made


def occurrences(text: Sequence[int], context: Sequence[int]) -> int:
    return sum(list(text[i : i + len(context)]) == list(context) for i in range(len(text) - len(context) + 1))


def followers(text: Sequence[int], context: Sequence[int]) -> Counter[int]:
    n = len(context)
    return Counter(text[i + n] for i in range(len(text) - n) if list(text[i : i + n]) == list(context))


def substrings(text: Sequence[int], longest: int) -> set[tuple[int, ...]]:
    return {tuple(text[i : i + n]) for n in range(1, longest + 1) for i in range(len(text) - n + 1)}


def check_counts(made: SuffixAutomaton, text: Sequence[int]) -> None:
    for context in substrings(text, made.longest + 1) | {(0,) * made.longest, (1, 2), (2, 2)}:
        if len(context) <= made.longest + 1:
            assert made.count(context) == occurrences(text, context), context


@given(TEXTS, LONGEST)
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_counting(text: list[int], longest: int) -> None:
    made = automaton(text, longest)
    check_counts(made, text)
    assert len(made) <= max(2 * len(text), 2)


@given(TEXTS, TEXTS, LONGEST)
@settings(deadline=None, max_examples=60)
def test_the_longest_match_and_what_followed_it(text: list[int], read: list[int], longest: int) -> None:
    made = automaton(text, longest)
    place = made.find(read)
    lengths = [n for n in range(min(longest, len(read)) + 1) if n == 0 or occurrences(text, read[len(read) - n :])]
    assert place.length == max(lengths)
    levels = {level.length: level.counts for level in made.levels(place, 1)}
    assert list(levels) == sorted(levels, reverse=True)
    for length in range(1, place.length + 1):
        following = followers(text, read[len(read) - length :])
        if length in levels:
            assert levels[length] == following
        elif following:  # the same as after some longer suffix, which stands for both
            assert following == levels[min(longer for longer in levels if longer > length)]


@given(TEXTS, LONGEST)
@settings(deadline=None, max_examples=60)
def test_the_end_of_the_text_is_what_reading_it_finds(text: list[int], longest: int) -> None:
    made = automaton(text, longest)
    assert made.end == made.find(text)


@given(st.lists(TEXTS, min_size=1, max_size=5), LONGEST)
@settings(deadline=None, max_examples=60)
def test_rewinding_leaves_no_trace(texts: list[list[int]], longest: int) -> None:
    made = SuffixAutomaton(longest)
    for text in texts:
        made.read(text)
        fresh = automaton(text, longest)
        assert vars(made) == vars(fresh)


def test_a_count_that_is_not_kept_is_refused() -> None:
    made = automaton([0, 1, 0], 2)
    for context in ([], [0, 1, 0, 1]):
        with pytest.raises(ValueError, match="1 to 3 tokens"):
            made.count(context)
    with pytest.raises(ValueError, match="at least one token"):
        SuffixAutomaton(0)


class Tally(list[int]):
    """A list that knows how often it was read."""

    reads = 0

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        Tally.reads += 1
        return super().__getitem__(index)


def steps(text: Sequence[int]) -> int:
    """How many suffix links were looked at to read a text: every loop of the automaton looks at one a turn."""
    made = SuffixAutomaton(8)
    made._link = Tally(made._link)
    Tally.reads = 0
    made.read(text)
    return Tally.reads


@pytest.mark.parametrize(
    "kind",
    [
        lambda n: [0] * n,
        lambda n: [i % 7 for i in range(n)],
        lambda n: [0] * (n // 2) + [1] + [0] * (n // 2),
        lambda n: np.random.default_rng(0).integers(0, 4, n).tolist(),
        lambda n: np.random.default_rng(0).integers(0, 4000, n).tolist(),
    ],
    ids=["one token", "a period", "two runs", "four tokens", "many tokens"],
)
def test_reading_takes_a_bounded_number_of_steps_a_token(kind: Any) -> None:
    assert steps(kind(4000)) < 20 * 4000


def test_a_corpus_parts_its_texts_and_forgets_the_oldest() -> None:
    corpus = EarlierTexts(longest=3, most_tokens=20)
    corpus.add([1, 2, 3])
    corpus.add([4, 1, 2])
    assert corpus.automaton.count([3, 4]) == 0
    assert corpus.automaton.count([1, 2]) == 2
    levels = list(corpus.automaton.levels(corpus.automaton.find([1, 2]), 1))
    assert [dict(level.counts) for level in levels] == [{3: 1}], "the end of a text is no continuation"
    for number in range(5, 20):
        corpus.add([number] * 5)
        assert corpus.tokens <= 20
        assert corpus.automaton.count([number] * 4) == 2
    assert corpus.automaton.count([1, 2]) == 0
    assert len(corpus.automaton.ids) == corpus.tokens


def test_a_corpus_keeps_the_end_of_a_long_text_and_nothing_of_an_empty_one() -> None:
    corpus = EarlierTexts(longest=3, most_tokens=10)
    corpus.add([])
    assert corpus.tokens == 0
    corpus.add(list(range(100)))
    assert corpus.tokens == 10
    assert corpus.automaton.count([98, 99]) == 1
    none = EarlierTexts(longest=3, most_tokens=0)
    none.add([1, 2])
    assert none.tokens == 0
