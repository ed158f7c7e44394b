"""Flags that take several values, separated by commas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from speculatoviz.config import RANGES
from speculatoviz.errors import BadRequestError

N = TypeVar("N", int, float)


def texts(listed: str | None) -> list[str]:
    """The values, each once, in the order given; none of None."""
    return list(dict.fromkeys(part.strip() for part in (listed or "").split(",") if part.strip()))


def numbers(listed: str, flag: str, setting: str, kind: Callable[[str], N], least: float) -> list[N]:
    """The numbers of a flag, from `least` to the most that the setting allows. Raises BadRequestError."""
    most = RANGES[setting].maximum
    try:
        found = [kind(part) for part in texts(listed)]
    except ValueError:
        found = []
    if not found or not all(least <= number <= most for number in found):
        raise BadRequestError(
            f"{flag} is {listed!r}, and has to be a list of numbers from {least:g} to {most:g}.",
            "Separate them by commas.",
        )
    return found
