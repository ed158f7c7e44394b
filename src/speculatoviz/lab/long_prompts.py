"""Prompts of a wanted length: the same question after a longer text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from speculatoviz.measure.text import PASSAGE


def lengthened(prompt: str, tokens: int, encode: Callable[[str], Sequence[int]]) -> str:
    """The prompt after so much text that `encode` gives about `tokens` ids, and no fewer; unchanged if it has as many.

    The text repeats a built-in passage, paragraph by paragraph, and is cut at a word.
    """
    before: list[str] = []
    for paragraph in cycle(PASSAGE.split("\n\n")):
        found = len(encode(_joined(before, prompt)))
        if found >= tokens:
            break
        before.append(paragraph)
    if not before:
        return prompt
    *kept, last = before
    words = last.split(" ")
    low, high = 0, len(words)
    while low < high:
        middle = (low + high) // 2
        enough = len(encode(_joined([*kept, " ".join(words[:middle])], prompt))) >= tokens
        low, high = (low, middle) if enough else (middle + 1, high)
    return _joined([*kept, " ".join(words[:low])], prompt)


def _joined(before: Sequence[str], prompt: str) -> str:
    return "\n\n".join([*before, prompt])
