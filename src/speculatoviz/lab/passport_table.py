"""Passports side by side: which drafter for which target, as a table for a terminal, Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from speculatoviz.lab.passport import Measurement, Passport

NOTE = (
    "Mean acceptance length by kind of text, with its 95 % interval: tokens per drafting round. It carries over to "
    "other machines; speed depends on what a draft and a pass cost there. Compare rows of one depth, rule and "
    "temperature."
)
_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which drafter for which target</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.3rem 1rem 0.3rem 0; border-bottom: 1px solid #8888; }
td { font-variant-numeric: tabular-nums; }
p { max-width: 65ch; }
</style>
</head>
<body>
<h1>Which drafter for which target</h1>
<table>
<thead><tr>{% for title in titles %}<th scope="col">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
<p>{{ note }}</p>
</body>
</html>
"""


class PassportTable(NamedTuple):
    """Titles and rows of text. Rows of one target stand together, the longest acceptance first."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class _Row(NamedTuple):
    """One drafter of a target at one rule, sampling and depth."""

    passport: Passport
    measurements: tuple[Measurement, ...]

    @property
    def length(self) -> float:
        """The mean acceptance length over all kinds of text, each draft counting once."""
        drafts = sum(one.drafts for one in self.measurements)
        return 1.0 + sum(sum(one.accepted_at) for one in self.measurements) / drafts


def table(passports: Sequence[Passport]) -> PassportTable:
    """One row for each drafter, rule, temperature and depth; one column for each category."""
    rows = [row for passport in passports for row in _rows(passport)]
    categories = list(dict.fromkeys(one.category for row in rows for one in row.measurements))
    targets = list(dict.fromkeys(_target(row) for row in rows))
    rows.sort(key=lambda row: (targets.index(_target(row)), -row.length))
    titles = ("target", "drafter", "rule", "temperature", "k", "label", "certificate", "floor", *categories, "all")
    return PassportTable(titles, tuple(_cells(row, categories) for row in rows))


def _rows(passport: Passport) -> list[_Row]:
    groups: dict[tuple[object, ...], list[Measurement]] = {}
    for one in passport.measurements:
        groups.setdefault((one.rule, one.sampling, one.depth), []).append(one)
    return [_Row(passport, tuple(group)) for group in groups.values()]


def _target(row: _Row) -> str:
    return f"{row.passport.target.name} ({row.passport.target.quantisation})"


def _cells(row: _Row, categories: Sequence[str]) -> tuple[str, ...]:
    first, draft = row.measurements[0], row.passport.draft
    by_category = {one.category: one for one in row.measurements}
    drafter = (
        f"{draft.name} ({draft.quantisation})" if draft else ", ".join((row.passport.drafter, *row.passport.heads))
    )
    return (
        _target(row),
        drafter,
        first.rule,
        f"{first.sampling.temperature:g}",
        str(first.depth),
        first.exactness.label,
        _verdict(row),
        _floor(row.measurements),
        *(_length(by_category.get(category)) for category in categories),
        f"{row.length:.2f}",
    )


def _verdict(row: _Row) -> str:
    """The certificate's verdict, for the rule that it tested."""
    found = row.passport.certificate
    return "–" if found is None or found.rule != row.measurements[0].rule else found.verdict


def _length(one: Measurement | None) -> str:
    if one is None:
        return "–"
    if one.interval is None:
        return f"{one.mean_acceptance_length:.2f}"
    return f"{one.mean_acceptance_length:.2f} ({one.interval[0]:.2f} to {one.interval[1]:.2f})"


def _floor(measurements: Sequence[Measurement]) -> str:
    """The largest total variation of the noise floors."""
    floors = [one.noise_floor.max_total_variation for one in measurements if one.noise_floor is not None]
    return f"{max(floors):.3g}" if floors else "–"


def as_markdown(found: PassportTable) -> str:
    """A table of Markdown. Characters that Markdown reads are escaped."""
    lines = [found.titles, tuple("---" for _ in found.titles), *found.rows]
    cells = [[cell if line is lines[1] else _escaped(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + f"\n\n{NOTE}\n"


def _escaped(cell: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(cell.split()))


def as_html(found: PassportTable) -> str:
    """A page that stands alone."""
    import jinja2

    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE)
    return template.render(titles=found.titles, rows=found.rows, note=NOTE)
