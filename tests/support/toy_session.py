"""A loaded and measured pair of toys, and the events of its runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from speculatoviz.config import Settings
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Event, Start


def load(folder: Path, **settings: Any) -> Session:
    chosen: dict[str, Any] = {"target": "toy:0", "draft": "toy:0~7", "max_tokens": 24, "cache_dir": str(folder)}
    return Session.load(Settings(_env_file=None, **chosen | settings), time.perf_counter, lambda stage, share: None)


def run(session: Session, prompt: str = "once upon a time", **start: Any) -> list[Event]:
    prepared = session.prepare(Start(**{"prompt": prompt, "k": 3} | start))
    return list(session.run("r", prepared, lambda: False))
