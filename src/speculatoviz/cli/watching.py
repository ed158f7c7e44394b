"""How `watch` shows what it sees: a table that is drawn again on a terminal, else a line for each event, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from speculatoviz.cli.output import plain
from speculatoviz.errors import SpeculatoVizError
from speculatoviz.lab.engines.statistics import Speculation
from speculatoviz.lab.engines.statistics import as_document as statistics_document
from speculatoviz.lab.store.recorder import Recorder
from speculatoviz.lab.watch.intervals import Interval
from speculatoviz.lab.watch.narration import WatchedRun
from speculatoviz.lab.watch.watching import Observer, Watching
from speculatoviz.telemetry.events import Done, Event, Failure

_FROM_COUNTERS = (
    "Sums over all requests, from the server's own counters. Single drafted tokens cannot be seen from outside."
)
_BARS = " ▁▂▃▄▅▆▇█"
_REFRESH_HZ = 4


class View(Observer, Protocol):
    """Shows what is seen."""

    def shown(self, watching: Watching) -> AbstractContextManager[object]:
        """Around the time in which something is shown."""


def view_of(console: Console, *, as_json: bool) -> View:
    """The view for an output."""
    return JsonLines() if as_json else Screen(console) if console.is_terminal else Lines(console)


class Recording:
    """Records requests that pass as runs."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def listening(self, port: int) -> None:
        """Nothing is recorded of it, nor of intervals."""

    def interval(self, interval: Interval) -> None:
        """Nothing is recorded of it."""

    def unseen(self, error: SpeculatoVizError) -> None:
        """Nothing is recorded of it."""

    def event(self, run: WatchedRun, event: Event) -> None:
        """Record an event of a run."""
        del run
        self._recorder.add(event)


class Lines:
    """A line for each interval and for each request that ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = ""  # the failure that goes on

    def shown(self, watching: Watching) -> AbstractContextManager[object]:
        self._console.print(f"watching {watching.server}. {_FROM_COUNTERS}", soft_wrap=True)
        return nullcontext()

    def listening(self, port: int) -> None:
        self._console.print(f"forwarding http://127.0.0.1:{port}; every byte passes unchanged", soft_wrap=True)

    def interval(self, interval: Interval) -> None:
        self._told = ""
        self._console.print(interval_line(interval), soft_wrap=True)

    def unseen(self, error: SpeculatoVizError) -> None:
        """A failure is told when it begins, not at every look."""
        if error.message != self._told:
            self._told = error.message
            self._console.print(f"{error.message} {error.hint}", style="yellow", soft_wrap=True)

    def event(self, run: WatchedRun, event: Event) -> None:
        if isinstance(event, Done | Failure):
            self._console.print(request_line(run, event), soft_wrap=True)


class JsonLines:
    """A JSON document for each interval and for each request that ends."""

    def shown(self, watching: Watching) -> AbstractContextManager[object]:
        del watching
        return nullcontext()

    def listening(self, port: int) -> None:
        _echo({"type": "listening", "port": port})

    def interval(self, interval: Interval) -> None:
        _echo(interval_document(interval))

    def unseen(self, error: SpeculatoVizError) -> None:
        _echo({"type": "error", "code": error.code, "message": error.message, "hint": error.hint})

    def event(self, run: WatchedRun, event: Event) -> None:
        if isinstance(event, Done | Failure):
            _echo(request_document(run, event))


class Screen:
    """Draws the last intervals and requests again and again, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._watching: Watching | None = None
        self._note = ""

    @contextmanager
    def shown(self, watching: Watching) -> Iterator[None]:
        self._watching = watching
        with Live(get_renderable=self.render, console=self._console, refresh_per_second=_REFRESH_HZ):
            yield

    def listening(self, port: int) -> None:
        self._note = f"Forwarding http://127.0.0.1:{port}; every byte passes unchanged."

    def interval(self, interval: Interval) -> None:
        """The table has it."""

    def unseen(self, error: SpeculatoVizError) -> None:
        self._note = f"{error.message} {error.hint}"

    def event(self, run: WatchedRun, event: Event) -> None:
        """The table has it."""

    def render(self) -> RenderableType:
        """What is shown now."""
        if self._watching is None:
            return Text("")
        watching = self._watching
        parts: list[RenderableType] = [Text(plain(f"watching {watching.server}")), Text(_FROM_COUNTERS, style="dim")]
        if self._note:
            parts.append(Text(plain(self._note), style="dim"))
        parts.append(intervals_table(list(watching.intervals)))
        if watching.runs:
            parts.append(requests_table(watching.runs))
        return Group(*parts)


# --- intervals ----------------------------------------------------------------------------------------


def intervals_table(intervals: list[Interval]) -> Table:
    """The last intervals, the newest last. The bars are the shares of drafts that accepted each position."""
    table = Table(box=None, pad_edge=False)
    for title in ("drafts", "accepted", "rate", "length", "tok/s", "running", "waiting"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("by position", no_wrap=True)
    for interval in intervals:
        found = interval.speculation[0] if interval.speculation else None
        table.add_row(
            _count(None if found is None else found.drafts),
            _share(found),
            _rate(found),
            _length(found),
            _number(interval.tps, "{:.1f}"),
            _count(interval.running),
            _count(interval.waiting),
            f"{bars(found)}{' (restarted)' if interval.restarted else ''}",
        )
    return table


def interval_line(interval: Interval) -> str:
    """One interval in words."""
    parts = [f"{record.source}: {_of_record(record)}" for record in interval.speculation] or ["no speculation reported"]
    parts.append(f"{_number(interval.tps, '{:.1f}')} tok/s")
    if interval.running is not None:
        parts.append(f"{interval.running} running, {interval.waiting or 0} waiting")
    if interval.restarted:
        parts.append("the server was restarted")
    return " · ".join(parts)


def _of_record(record: Speculation) -> str:
    told = f"{_count(record.drafts)} drafts, {_share(record)} accepted ({_rate(record)}), length {_length(record)}"
    shown = bars(record)
    return f"{told}, by position {shown}" if shown else told


def bars(record: Speculation | None) -> str:
    """A bar for each position: the share of all drafts that accepted it, in eighths."""
    shares = (record.unconditional if record else None) or []
    return "".join(_BARS[round(8 * min(1.0, share))] for share in shares)


def interval_document(interval: Interval) -> dict[str, Any]:
    """One interval for programs."""
    return {
        "type": "interval",
        "seconds": interval.seconds,
        "generated_tokens": interval.generated,
        "tps": interval.tps,
        "running": interval.running,
        "waiting": interval.waiting,
        "restarted": interval.restarted,
        "statistics": [statistics_document(record) for record in interval.speculation],
    }


def _share(record: Speculation | None) -> str:
    return "–" if record is None else f"{_count(record.accepted_tokens)} of {_count(record.draft_tokens)}"


def _rate(record: Speculation | None) -> str:
    if record is None:
        return "–"
    computed = record.acceptance_rate
    return _percent(computed) if computed is not None else _reported(_percent(record.reported_rate))


def _length(record: Speculation | None) -> str:
    if record is None:
        return "–"
    computed = record.mean_acceptance_length
    return _number(computed, "{:.2f}") if computed is not None else _reported(_number(record.reported_length, "{:.2f}"))


def _reported(text: str) -> str:
    return text if text == "–" else f"{text} (as reported)"


# --- requests -----------------------------------------------------------------------------------------


def requests_table(runs: list[WatchedRun]) -> Table:
    """Requests that pass, and the last that ended. Neither prompts nor texts are shown."""
    table = Table(box=None, pad_edge=False)
    for title in ("request", "model", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("tokens", "accepted", "first", "tok/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for run in runs:
        figures = run.figures
        table.add_row(
            run.run,
            Text(plain(run.wanted.model or "–")),
            run.state,
            str(figures.tokens),
            f"{figures.accepted} of {figures.drafted}" if figures.drafted else "–",
            _number(figures.ttft_ms, "{:.0f} ms"),
            _number(figures.overall_tps, "{:.1f}"),
        )
    return table


def request_line(run: WatchedRun, end: Done | Failure) -> str:
    """One request that has ended."""
    document = request_document(run, end)
    drafted = f", {document['accepted']} of {document['drafted']} accepted" if document["drafted"] else ""
    first = _number(document["ttft_ms"], "{:.0f} ms")
    return f"{run.run} {run.wanted.route} {document['end']}: {document['tokens']} tokens{drafted}, first after {first}"


def request_document(run: WatchedRun, end: Done | Failure) -> dict[str, Any]:
    """One request that has ended, for programs: no prompt and no text."""
    figures = run.figures
    return {
        "type": "request",
        "run": run.run,
        "route": run.wanted.route,
        "model": run.wanted.model,
        "end": end.finish_reason if isinstance(end, Done) else end.code,
        "tokens": figures.tokens,
        "pieces": figures.rounds,
        "drafted": figures.drafted,
        "accepted": figures.accepted,
        "acceptance_rate": figures.overall_acceptance_rate,
        "mean_acceptance_length": figures.overall_mean_acceptance_length,
        "ttft_ms": figures.ttft_ms,
        "tps": figures.overall_tps,
        "total_ms": end.t_ms,
    }


# --- figures ------------------------------------------------------------------------------------------


def _echo(values: dict[str, Any]) -> None:
    typer.echo(json.dumps(values))


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return _number(None if share is None else 100 * share, "{:.0f} %")


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)
