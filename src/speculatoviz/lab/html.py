"""How runs and sweeps show themselves in a notebook: small pieces of HTML that load nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from speculatoviz.lab.report.texts import pieces
from speculatoviz.lab.report.words import number
from speculatoviz.telemetry.events import Event, MetricValues
from speculatoviz.telemetry.unlike import UnlikePasses

# Departures are marked by a line and a weight too: colours depend on the notebook's theme.
_STYLES = {
    "accepted": "",
    "resampled": "text-decoration:underline;text-decoration-color:#d97706;text-decoration-thickness:2px",
    "bonus": "text-decoration:underline dotted #3b82f6 2px",
    "plain": "opacity:.7",
}


def in_brief(metrics: MetricValues | None, unlike: UnlikePasses | None = None) -> str:
    """The figures of a run in one line. unlike: why no speedup is claimed."""
    if metrics is None:
        return "no rounds"
    parts = [
        f"{metrics.tokens} tokens in {metrics.rounds} rounds",
        f"{metrics.accepted} of {metrics.drafted} drafted accepted",
        f"{number(metrics.overall_tps, 1)} tok/s",
    ]
    if unlike is not None:
        parts.append(f"no speedup is claimed ({unlike})")
    elif metrics.overall_speedup is not None:
        parts.append(f"{number(metrics.overall_speedup)}× plain decoding")
    return ", ".join(parts)


def run(events: Sequence[Event], metrics: MetricValues | None, unlike: UnlikePasses | None = None) -> str:
    """The text of a run with its departures from the draft marked, and its figures below. unlike: see `in_brief`."""
    text = Markup().join(
        Markup('{}<span style="{}">{}</span>').format(
            Markup("<del>{}</del>").format(piece.instead) if piece.instead else "",
            _STYLES.get(piece.status, ""),
            piece.text,
        )
        for piece in pieces(events)
    )
    legend = "Underlined: in place of a rejected token, which is struck out. Dotted: after a whole accepted draft."
    return str(
        Markup(
            '<div><div style="white-space:pre-wrap;font-family:monospace">{}</div><p>{}.<br><small>{}</small></p></div>'
        ).format(text, in_brief(metrics, unlike), legend)
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table with its caption; the first column names the rows."""
    cells = Markup("<tr>{}</tr>").format(Markup().join(Markup('<th scope="col">{}</th>').format(name) for name in head))
    body = Markup().join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            first, Markup().join(Markup("<td>{}</td>").format(value) for value in others)
        )
        for first, *others in rows
    )
    return Markup("<table><caption>{}</caption><thead>{}</thead><tbody>{}</tbody></table>").format(caption, cells, body)


def sweep(answer: Sequence[str], tables: Iterable[Markup]) -> str:
    """The answer of a sweep, and its tables."""
    sentences = Markup().join(Markup("<p>{}</p>").format(sentence) for sentence in answer)
    return str(Markup("<div>{}{}</div>").format(sentences, Markup().join(tables)))
