"""How long-running work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

# Called with the name of a stage, and the share of it that is done, from 0 to 1; None if the share is unknown. What it
# raises ends the work.
Progress = Callable[[str, float | None], None]


def unreported(_stage: str, _share: float | None, /) -> None:
    """A Progress that drops every report."""
