"""A run on a terminal: coloured text as it comes, and a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from speculatoviz.telemetry.events import Done, MetricValues, Queued, Shadow, Started, UsageInfo, VerifyResult

STYLES = {
    "accepted": "green",
    "resampled": "dark_orange",
    "bonus": "dodger_blue1",
    "plain": "default",
}

# A model's output may hold anything; only tabs and line feeds may steer the terminal.
_CONTROLS: dict[int, str | None] = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {0x09, 0x0A}
} | {0x0D: None}


class Transcript:
    """Prints the visible text of a run, coloured by how each token came about."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shadow: Shadow | None = None

    def show(self, event: object) -> None:
        match event:
            case Started():
                self._console.print(headline(event), highlight=False)
                if event.remote is not None and event.remote.warning is not None:
                    self._console.print(event.remote.warning, style="yellow", markup=False)
            case VerifyResult() if event.text:
                self._print(event.text, STYLES.get(event.status, ""))
            case Queued():
                self._console.print(f"waiting, place {event.place}")
            case Shadow():
                self._shadow = event
            case Done():
                self._print(event.text_tail, "")
                self._console.print("\n")
                self._console.print(legend(), highlight=False)
                self._console.print(summary(event))
                if self._shadow is not None:
                    self._console.print(side_by_side(self._shadow))

    def _print(self, text: str, style: str) -> None:
        """As it is: rich's own Text would expand tabs and wrap long lines."""
        segment = Segment(text.translate(_CONTROLS), self._console.get_style(style))
        self._console.print(Segments([segment]), end="", soft_wrap=True)


def headline(started: Started) -> Text:
    quantisation = started.target_model.quantisation
    target = " ".join([started.target_model.name, *([quantisation] if quantisation != "not told" else [])])
    if started.k == 0:
        return Text(f"{target} alone", style="dim")
    draft = started.draft_model
    by = f"{draft.name} {draft.quantisation}" if draft and started.drafter == "model" else started.drafter
    return Text(f"{by} drafts {started.k} for {target} · {started.exactness.label}", style="dim")


def legend() -> Text:
    return Text(" · ").join(Text(status, style=style) for status, style in STYLES.items())


def summary(done: Done) -> Table:
    """The figures of a finished run; a dash stands for what is not known."""
    m = done.metrics
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "tokens": f"{m.tokens} in {m.rounds} rounds ({done.finish_reason})",
        "accepted": f"{m.accepted} of {m.drafted} drafted ({_percent(m.acceptance_rate)})",
        "mean acceptance length": _number(m.mean_acceptance_length, "{:.2f}"),
        "speed": f"{_number(m.effective_tps, '{:.1f}')} tok/s",
        "speedup": _speedup(m),
        "time to first token": _number(m.ttft_ms, "{:.0f} ms"),
    }
    if m.usage is not None:
        rows["against one call per token"] = _number(m.per_call_speedup, "{:.2f}×")
        rows["cost at the target"] = _cost(m.usage)
    if m.total_variation_bound > 0:
        rows["distance from the target"] = f"at most {_percent(m.total_variation_bound)} (total variation)"
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), value)
    return table


def side_by_side(shadow: Shadow) -> Table:
    """How far the guesses of every drafter came behind the same prefixes."""
    table = Table("drafter", "drafted", "came true", "went furthest", "ms a draft", box=None, pad_edge=False)
    for score in shadow.scores:
        took = _number(score.mean_draft_ms, "{:.1f}")
        drafted, matched = f"{score.mean_drafted:.2f}", f"{score.mean_matched:.2f}"
        table.add_row(score.drafter, drafted, matched, _percent(score.best_share), took)
    return table


def _cost(usage: UsageInfo) -> str:
    """What is known of it."""
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
    return f"{metrics.speedup:.2f}× against {metrics.baseline_tps:.1f} tok/s plain, measured"


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, "{:.0f} %")


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


@contextmanager
def progress() -> Iterator[Callable[[str, float | None], None]]:
    """A bar on stderr, told the stage and its share that is done, None while unknown; lines where it is no terminal."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        said = ""

        def report(stage: str, share: float | None) -> None:
            nonlocal said
            bar.update(task, description=stage, completed=share or 0.0, total=None if share is None else 1.0)
            if not console.is_terminal and stage != said:
                console.print(stage)
            said = stage

        yield report


def both(
    first: Callable[[str, float | None], None], second: Callable[[str, float | None], None]
) -> Callable[[str, float | None], None]:
    """One report that tells two."""

    def report(stage: str, share: float | None) -> None:
        first(stage, share)
        second(stage, share)

    return report
