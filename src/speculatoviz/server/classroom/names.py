"""The names of visitors: short, on one line, and different from each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Container

MOST_LETTERS = 24
_MOST_MARKS = 2  # on one letter; some scripts need two, and more only to cover other lines


def shown_name(given: str) -> str:
    """A name of at most 24 characters without control and format characters; empty if nothing is left."""
    letters: list[str] = []
    marks = 0
    for letter in unicodedata.normalize("NFC", given):
        kind = unicodedata.category(letter)
        if kind[0] == "Z" or letter.isspace():
            letter, marks = " ", 0  # noqa: PLW2901
        elif kind[0] == "C":
            continue
        elif kind in {"Mn", "Me"}:
            marks += 1
            if marks > _MOST_MARKS:
                continue
        else:
            marks = 0
        letters.append(letter)
    return " ".join("".join(letters).split())[:MOST_LETTERS].strip()


def different(name: str, others: Container[str], number: int) -> str:
    """The name, or one like it that no other has. number: of the visitor, for one without a name."""
    first = name or f"Visitor {number}"
    if first not in others:
        return first
    return next(made for at in range(2, 10**6) if (made := f"{first[: MOST_LETTERS - 7]} ({at})") not in others)
