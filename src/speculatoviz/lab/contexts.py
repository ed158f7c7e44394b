"""Runs that begin with nothing computed: the contexts of a session, and its caches of earlier prompts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.window import Window
from speculatoviz.session.session import Session


def windows(session: Session) -> list[Window]:
    """Of the target, if it is in this process, and of the draft models."""
    own = [drafter.window for drafter in session.drafters.values() if isinstance(drafter, ModelDrafter)]
    return own if session.target.window is None else [session.target.window, *own]


def empty_contexts(session: Session) -> None:
    """Drop what the target and the drafters hold. Without a prompt cache the next run computes its whole prompt."""
    for drafter in session.drafters.values():
        drafter.forget_prompts()
    if session.target.window is not None:
        session.target.window.keep(0)


@contextmanager
def without_prompt_cache(session: Session) -> Iterator[None]:
    """Empty contexts, and no earlier prefixes for them. Afterwards the prefixes are back."""
    opened = windows(session)
    held = [window.prefixes for window in opened]
    for window in opened:
        window.prefixes = None
        window.keep(0)
    try:
        yield
    finally:
        for window, prefixes in zip(opened, held, strict=True):
            window.prefixes = prefixes
