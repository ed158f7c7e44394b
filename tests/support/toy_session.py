"""A loaded and measured pair of toys, and the events of its runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.messages import Start


def load(folder: Path, runs: int = 1, **settings: Any) -> Session:
    chosen: dict[str, Any] = {"target": "toy:0", "draft": "toy:0~7", "max_tokens": 24, "cache_dir": str(folder)}
    named = Settings(_env_file=None, **chosen | settings)
    return Session.load(named, time.perf_counter, lambda stage, share: None, runs=runs)


class ShortMemory(ToyModel):
    """A toy whose logits depend on the last two tokens: its greedy text repeats, as ordinary text does."""

    def logits(self, prefix: Sequence[int]) -> Floats:
        return super().logits(prefix[-2:])


def repetitive(folder: Path, **settings: Any) -> Session:
    """A session whose text repeats itself, so that every drafter has something to draft."""
    chosen = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(folder), **settings)
    target, draft = ShortMemory(0, ALPHABET), ShortMemory(0, ALPHABET, mix=(7, 0.3))
    return Session(chosen, open_local(target, draft, time.perf_counter), draft, time.perf_counter)


def run(session: Session, prompt: str = "once upon a time", **start: Any) -> list[Event]:
    prepared = session.prepare(Start(**{"prompt": prompt, "k": 3} | start))
    return list(session.run("r", prepared, lambda: False))
