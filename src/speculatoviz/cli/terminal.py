"""Draws a run on a terminal: coloured text while it comes, a table at the end, and progress bars."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from speculatoviz.cli.output import TextConsole, plain
from speculatoviz.core.constraint import FORCED, PREDICTED
from speculatoviz.core.progress import Progress
from speculatoviz.models.base import UNKNOWN, Description
from speculatoviz.telemetry.events import (
    Departure,
    Done,
    DraftToken,
    Event,
    Metrics,
    MetricValues,
    Queued,
    Record,
    RunWarning,
    Shadow,
    Started,
    VerifyResult,
)
from speculatoviz.telemetry.parts import ModelInfo, PromptCacheInfo, UsageInfo
from speculatoviz.telemetry.unlike import BaselineCheck, UnlikePasses

STYLES = {
    "accepted": "green",
    "resampled": "dark_orange",
    "bonus": "dodger_blue1",
    "plain": "default",
}
# Accepted tokens that no drafter had to find, by their source: a name, and a style.
SOURCES = {FORCED: ("forced by the grammar", "magenta"), PREDICTED: ("predicted", "cyan")}


class Transcript:
    """Prints a run event by event. `console` should be a TextConsole: names in events are foreign text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shadow: Shadow | None = None
        self._prompt_cache: PromptCacheInfo | None = None
        self._warnings: list[RunWarning] = []
        self._recorded, self._recorded_ms = 0, 0.0
        self._sources: dict[int, str] = {}  # of the nodes of a round, where they have a style
        self._styled: set[str] = set()  # sources that were printed
        self._watched = False
        self._check = BaselineCheck()

    def show(self, event: Event) -> None:
        """Print what is visible of an event: the text coloured by status, then legend and figures."""
        self._check.add(event)
        match event:
            case Started():
                self._watched = event.watched is not None
                self._console.print(headline(event), style="dim")
                for line in chosen_runtimes(event.draft_model, event.target_model):
                    self._console.print(line, style="dim")
                if event.remote is not None and event.remote.warning is not None:
                    self._console.print(event.remote.warning, style="yellow")
            case DraftToken() if event.source in SOURCES:
                self._sources[event.node] = event.source
            case VerifyResult() if event.text:
                self._print(event.text, self._style(event))
            case Queued():
                self._console.print(f"waiting in the queue, position {event.place}")
            case Metrics() | Shadow() | Record() | RunWarning():
                self._keep(event)
            case Done():
                self._end(event)

    def _keep(self, event: Metrics | Shadow | Record | RunWarning) -> None:
        """Keep what is printed once the text is complete."""
        match event:
            case Metrics():
                self._sources.clear()
                self._prompt_cache = self._prompt_cache or event.prompt_cache
            case Shadow():
                self._shadow = event
            case Record():
                self._recorded, self._recorded_ms = self._recorded + 1, self._recorded_ms + event.draft_ms
            case RunWarning():
                self._warnings.append(event)

    def _end(self, done: Done) -> None:
        """The rest of the text, then warnings, legend and figures."""
        self._print(done.text_tail, "")
        self._console.print("\n")
        for warning in self._warnings:
            text = f"round {warning.round + 1}: {warning.message} {warning.hint}"
            self._console.print(text, style="yellow")
        if not self._watched:  # its pieces have no status of a draft
            self._console.print(legend(self._styled))
        self._console.print(summary(done, self._prompt_cache, self._check.unlike()))
        if self._shadow is not None:
            self._console.print(shadow_scores(self._shadow))
        if self._recorded:
            took = f"{self._recorded} tokens in {self._recorded_ms / 1000:.1f} s, after the run"
            self._console.print(f"recorded what is drafted after each of {took}", style="dim")

    def _style(self, result: VerifyResult) -> str:
        source = self._sources.get(result.node) if result.node is not None else None
        if source is None or result.status != "accepted":
            return STYLES.get(result.status, "")
        self._styled.add(source)
        return SOURCES[source][1]

    def _print(self, text: str, style: str) -> None:
        """A segment keeps tabs and long lines, which rich's Text would expand and wrap."""
        segment = Segment(plain(text), self._console.get_style(style))
        self._console.print(Segments([segment]), end="", soft_wrap=True)


def headline(started: Started) -> str:
    """One line: what drafts how deep for which target, the exactness label, and whether greedy text is plain text."""
    target = _named(started.target_model)
    if (watched := started.watched) is not None:
        by = watched.engine or "a server"
        return f"{target} · watched: {by} at {watched.server} computed it, and what it drafted is not known"
    if started.k == 0:
        return f"{target} alone"
    draft = started.draft_model
    by = _named(draft) if draft and started.drafter == "model" else started.drafter
    proven = " · bit for bit" if started.batch_invariant and started.exactness.label == "exact" else ""
    depth = started.k if started.policy == "fixed" else f"up to {started.k}"
    return f"{by} drafts {depth} for {target} · {started.exactness.label}{proven}"


def chosen_runtimes(*models: ModelInfo | Description | None) -> Iterator[str]:
    """The runtime of every model for which one was chosen, with the reason."""
    for model in models:
        if model is not None and model.choice is not None:
            yield f"{model.name} runs on {model.runtime}: {model.choice.reason}"


def _named(model: ModelInfo) -> str:
    """The name, and the quantisation if it is known."""
    return model.name if model.quantisation == UNKNOWN else f"{model.name} {model.quantisation}"


def legend(sources: Collection[str] = ()) -> Text:
    """Every status in its colour, and those of SOURCES that occurred."""
    known = [*STYLES.items(), *(SOURCES[source] for source in SOURCES if source in sources)]
    return Text(" · ").join(Text(name, style=style) for name, style in known)


def summary(done: Done, prompt_cache: PromptCacheInfo | None = None, unlike: UnlikePasses | None = None) -> Table:
    """The figures of a finished run; an unknown figure is a dash. unlike: why no speedup is claimed."""
    m = done.metrics
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "tokens": f"{m.tokens} in {m.rounds} rounds ({done.finish_reason})",
        "accepted": f"{m.accepted} of {m.drafted} drafted ({_percent(m.acceptance_rate)})",
        "mean acceptance length": _number(m.mean_acceptance_length, "{:.2f}"),
        "speed": f"{_number(m.effective_tps, '{:.1f}')} tok/s",
        "speedup": _speedup(m) if unlike is None else f"not claimed: {unlike}",
        "time to first token": _number(m.ttft_ms, "{:.0f} ms"),
    }
    if prompt_cache is not None:
        rows["prompt cache"] = _reuse(prompt_cache)
    if m.usage is not None:
        rows["against one call per token"] = _number(m.per_call_speedup, "{:.2f}×")
        rows["cost at the target"] = _cost(m.usage)
    if m.total_variation_bound > 0:
        rows["distance from the target"] = f"at most {_percent(m.total_variation_bound)} (total variation)"
    if done.departure is not None:
        rows["departs from the plain text"] = _departure(done.departure)
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), value)
    return table


def shadow_scores(shadow: Shadow) -> Table:
    """One row per shadow drafter: mean drafted and matched tokens a round, and how often it matched the most."""
    table = Table("drafter", "drafted", "matched", "matched most", "ms a draft", box=None, pad_edge=False)
    for score in shadow.scores:
        draft_ms = _number(score.mean_draft_ms, "{:.1f}")
        drafted, matched = f"{score.mean_drafted:.2f}", f"{score.mean_matched:.2f}"
        table.add_row(score.drafter, drafted, matched, _percent(score.best_share), draft_ms)
    return table


def _reuse(cache: PromptCacheInfo) -> str:
    saved = "" if cache.saved_ms is None or cache.hit_tokens == 0 else f", about {cache.saved_ms:.0f} ms saved"
    return f"{cache.hit_tokens} of {cache.prompt_tokens} prompt tokens{saved}"


def _departure(departure: Departure) -> str:
    tokens = f"{departure.speculative_token!r} instead of {departure.plain_token!r}"
    return f"at token {departure.position + 1}: {tokens}, margin {_number(departure.margin, '{:.4f}')} nats"


def _cost(usage: UsageInfo) -> str:
    """The known parts of it."""
    parts = {
        "calls": usage.calls,
        "prompt tokens": usage.prompt_tokens,
        "of them cached": usage.cached_tokens,
        "completion tokens": usage.completion_tokens,
    }
    return ", ".join(f"{value} {name}" for name, value in parts.items() if value is not None)


def _speedup(metrics: MetricValues) -> str:
    if metrics.speedup is None:
        return "–"
    return f"{metrics.speedup:.2f}× against {_number(metrics.baseline_tps, '{:.1f}')} tok/s plain, measured"


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, "{:.0f} %")


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar on stderr, or lines if that is no terminal.

    The report that it yields takes the stage and the share that is done, 0 to 1, None if unknown.
    """
    console = TextConsole(stderr=True, soft_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        printed = ""

        def report(stage: str, share: float | None) -> None:
            nonlocal printed
            bar.update(task, description=plain(stage), completed=share or 0.0, total=None if share is None else 1.0)
            if not console.is_terminal and stage != printed:
                console.print(stage)
            printed = stage

        yield report


def both(first: Progress, second: Progress) -> Progress:
    """A report that passes everything on to two others."""

    def report(stage: str, share: float | None) -> None:
        first(stage, share)
        second(stage, share)

    return report
