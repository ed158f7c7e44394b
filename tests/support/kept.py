"""Runs for a store: real events under another id, and shortcuts for writing them."""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.store.summary import RunFold
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Started


def renamed(events: Sequence[Event], run: str, **started: object) -> list[Event]:
    """The same events as those of run `run`. started: fields of its first event to replace."""
    own = [event.model_copy(update={"run": run}) for event in events]
    return [event.model_copy(update=started) if isinstance(event, Started) else event for event in own]


def lines(events: Sequence[Event]) -> bytes:
    return b"".join(event.model_dump_json().encode() + b"\n" for event in events)


def keep(
    store: RunStore, events: Sequence[Event], run: str, created_ms: int = 1_800_000_000_000, chunks: int = 3
) -> None:
    """Write a whole run into a store, in so many chunks."""
    started, *rest = renamed(events, run)
    assert isinstance(started, Started)
    fold = RunFold(started)
    store.begin(run, created_ms, started.prompt, trace.header("a machine"), fold.summary)
    each = -(-(1 + len(rest)) // max(1, chunks))
    for number in range(chunks):
        part = [started, *rest][number * each : (number + 1) * each]
        for event in part:
            fold.add(event)
        assert store.append(run, number, lines(part), fold.summary)
