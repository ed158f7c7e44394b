"""The limits that an endpoint declares in the headers of its answers, and how long it asks to wait."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime

import httpx2

_LIMIT = re.compile(r"x-ratelimit-(limit|remaining)-(\w+?)(?:-(\w+))?$")
_MINUTES = {"": 1.0, "minute": 1.0, "hour": 60.0, "day": 1440.0}


class RateLimits:
    """The newest declared limits: what is limited, per which period, and how much of it remains."""

    def __init__(self) -> None:
        self._limits: dict[tuple[str, str], str] = {}
        self._remaining: dict[tuple[str, str], str] = {}

    def note(self, headers: httpx2.Headers) -> None:
        """Take over what the headers of an answer declare."""
        for name, value in headers.items():
            if match := _LIMIT.match(name.lower()):
                kind, what, period = match.groups()
                (self._limits if kind == "limit" else self._remaining)[what, period or ""] = value

    def __str__(self) -> str:
        """As `1440 requests per day (1439 left)`; empty if nothing is declared."""
        parts = []
        for (what, period), limit in sorted(self._limits.items()):
            left = self._remaining.get((what, period))
            parts.append(f"{limit} {what}" + (f" per {period}" if period else "") + (f" ({left} left)" if left else ""))
        return ", ".join(parts)

    def requests_per_minute(self) -> float | None:
        """The smallest declared rate of requests; None if none is declared."""
        rates = [
            rate / _MINUTES[period]
            for (what, period), limit in self._limits.items()
            if what == "requests" and period in _MINUTES and (rate := _number(limit)) is not None
        ]
        return min(rates, default=None)


def asked_to_wait_s(headers: httpx2.Headers) -> float | None:
    """Seconds of `retry-after-ms` or `retry-after`; a date there is relative to the answer's own date."""
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if (number := _number(headers.get(name, ""))) is not None:
            return number / per_second
    try:
        until, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
        return max(0.0, (until - now).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _number(text: str) -> float | None:
    """A finite number of at least 0."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0.0 else None
