"""The tokens behind a cell: the text of one run, with what happened to every token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.core.types import Status
from speculatoviz.errors import TraceError
from speculatoviz.lab.sweep.records import SweepRun
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event, Started, VerifyResult

_SHOWN = 600  # characters of a prompt


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of tokens with the same status that follow each other. instead: the token that was rejected before it."""

    status: Status
    text: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One run: its prompt, perhaps shortened, and its text in pieces."""

    prompt: str
    pieces: tuple[Piece, ...]


def text_of(folder: Path, run: SweepRun) -> Text | None:
    """The text of a run from its trace; None if there is no trace that can be read."""
    if not run.trace:
        return None
    try:
        events = trace.read(folder / run.trace).events
    except TraceError:
        return None
    prompt = next((event.prompt for event in events if isinstance(event, Started)), "")
    short = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}…"
    return Text(short, tuple(pieces(events)))


def pieces(events: Iterable[Event]) -> list[Piece]:
    """The text of a run, split where the status of its tokens changes and where a token was rejected."""
    found, rejected = list[Piece](), ""
    for event in events:
        match event:
            case VerifyResult(status="rejected"):
                rejected = rejected or event.draft_token or ""
            case VerifyResult() if event.text or event.final_token is not None:
                last = found[-1] if found else None
                if last is not None and last.status == event.status and not rejected:
                    found[-1] = Piece(last.status, last.text + event.text, last.instead)
                elif event.text:
                    found.append(Piece(event.status, event.text, rejected))
                rejected = "" if event.node is None else rejected
            case Done() if event.text_tail and found:
                found[-1] = Piece(found[-1].status, found[-1].text + event.text_tail, found[-1].instead)
    return found
