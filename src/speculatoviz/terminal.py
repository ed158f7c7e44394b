"""A run on a terminal: coloured text as it comes, and a table at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from speculatoviz.events import Done, MetricValues, Queued, Started, VerifyResult

STYLES = {
    "accepted": "green",
    "resampled": "dark_orange",
    "bonus": "dodger_blue1",
    "plain": "default",
}


class Transcript:
    """Prints the visible text of a run, coloured by how each token came about."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: object) -> None:
        match event:
            case Started():
                self._console.print(headline(event), highlight=False)
            case VerifyResult() if event.text:
                text = Text(event.text, style=STYLES.get(event.status, ""))
                self._console.print(text, end="", soft_wrap=True)
            case Queued():
                self._console.print(f"waiting, place {event.place}")
            case Done():
                self._console.print(event.text_tail, end="", markup=False, highlight=False)
                self._console.print("\n")
                self._console.print(legend(), highlight=False)
                self._console.print(summary(event))


def headline(started: Started) -> Text:
    target = f"{started.target_model.name} {started.target_model.quantisation}"
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
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), value)
    return table


def _speedup(metrics: MetricValues) -> str:
    if metrics.speedup is None:
        return "–"
    return f"{metrics.speedup:.2f}× against {metrics.baseline_tps:.1f} tok/s plain, measured"


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, "{:.0f} %")


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)
