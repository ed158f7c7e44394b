"""Runs that are compared take turns, with a reference before and after every few of them.

A machine whose speed drifts then affects a run and its reference alike, so that their ratio holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")

TOGETHER = 6  # items between two runs of the reference


def in_turn(
    items: Sequence[T], run: Callable[[T], R], reference: Callable[[], S], category: str, number: int
) -> Iterator[tuple[R, S, S]]:
    """Run every item of a prompt. Yields its result, and those of the reference before and after it.

    The order belongs to the prompt, the `number`-th of its `category`, and differs from prompt to prompt. Results come
    when the reference has run after them. Raises what `run` and `reference` raise.
    """
    order = [items[place] for place in _order(category, number, len(items))]
    before = reference()
    for first in range(0, len(order), TOGETHER):
        results = [run(item) for item in order[first : first + TOGETHER]]
        after = reference()
        for result in results:
            yield result, before, after
        before = after


def _order(category: str, number: int, size: int) -> list[int]:
    """A permutation that belongs to the prompt."""
    chance = np.random.default_rng([number, *category.encode()])
    return [int(place) for place in chance.permutation(size)]
