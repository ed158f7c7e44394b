"""Puts the report together: the answer, the sections, the texts behind them, the method and the provenance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.drawing import require_matplotlib
from speculatoviz.lab.report import sections
from speculatoviz.lab.report.answer import answer, caution
from speculatoviz.lab.report.figures import shown
from speculatoviz.lab.report.sections import Section
from speculatoviz.lab.report.texts import Text, text_of
from speculatoviz.lab.report.words import listed, model, number, plural
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import About, Folder, require_runs
from speculatoviz.lab.sweep.summary import Summary

_TEMPLATE = "page.html"


@dataclass(frozen=True, slots=True)
class ShownText:
    """A run whose tokens the report shows. anchor: its id on the page."""

    anchor: str
    title: str
    text: Text


def write(folder: Folder, out: Path) -> None:
    """Write the report of a sweep to an HTML file. Raises BadRequestError without runs, or if it cannot be written."""
    page = render(folder)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadRequestError(
            f"{out} cannot be written ({error.strerror or error}).", "Name another file with --out."
        ) from error


def render(folder: Folder) -> str:
    """The report as HTML, which loads nothing. Raises BadRequestError without runs or without matplotlib."""
    require_matplotlib()
    runs = require_runs(folder)
    about, summary = folder.abouts[-1], Summary(runs)
    texts = list(_texts(folder.path, summary))
    anchors = {key: f"#{shown_text.anchor}" for key, shown_text in texts}
    target = model(about.target)
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(files("speculatoviz.lab.report").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        title=f"Does speculation pay for {about.target.name}?",
        answer=answer(summary, target),
        caution=caution(summary),
        sections=_sections(summary, about, anchors),
        texts=[shown_text for _, shown_text in texts],
        provenance=list(_provenance(folder, about, summary)),
        svg=Markup,
    )


def _sections(summary: Summary, about: About, anchors: sections.Anchors) -> list[Section]:
    found = [sections.choices(summary)]
    for temperature in summary.temperatures:
        depths = sections.depths(summary, temperature, about.pass_ms)
        found += [
            sections.speedups(summary, temperature, anchors),
            sections.positions(summary, temperature),
            sections.costs(summary, temperature),
            *([depths] if depths is not None else []),
        ]
    return found


def _texts(folder: Path, summary: Summary) -> Iterator[tuple[tuple[float, Cell, str], ShownText]]:
    """The first run of each category with each of the cells that figures show, if it has a trace."""
    for temperature in summary.temperatures:
        for number_, cell in enumerate(shown(summary, temperature)):
            for place, category in enumerate(summary.categories if len(summary.categories) > 1 else summary.groups):
                runs = summary.select(cell, temperature, category)
                text = text_of(folder, runs[0]) if runs else None
                if text is not None:
                    anchor = f"text-{temperature:g}-{number_}-{place}".replace(".", "_")
                    title = f"{category}, {cell.label}, T={temperature:g}"
                    yield (temperature, cell, category), ShownText(anchor, title, text)


def _provenance(folder: Folder, about: About, summary: Summary) -> Iterator[tuple[str, str]]:
    """What was measured, as name and value."""
    categories = [f"{count} {category}" for category, count in about.categories.items()]
    sampling = about.sampling
    yield "measured", f"{folder.abouts[0].created} to {about.created} (start of the last part), UTC"
    yield "machine", f"{about.machine}, {plural(about.threads, 'thread')} for a pass"
    yield "target", f"{model(about.target)} {about.library}".strip() + f", tokenizer {about.target.fingerprint}"
    for draft in dict.fromkeys(model(one.draft) for one in folder.abouts if one.draft is not None):
        yield "draft model", draft
    yield "prompts", f"{about.prompts}, SHA-256 {about.prompts_sha256[:16]}…: {listed(categories)}"
    yield "length", f"at most {about.max_tokens} tokens of text, {about.context_tokens} of context"
    yield "sampling", f"top-k {sampling.top_k}, top-p {sampling.top_p:g}, min-p {sampling.min_p:g}; rule {about.rule}"
    yield "seed", str(about.seed)
    passes = [f"{rows}: {number(ms, 1)}" for rows, ms in sorted(about.pass_ms.items())]
    yield "target's pass, ms by tokens", ", ".join(passes)
    if about.draft_ms is not None:
        yield "draft model's token", f"{number(about.draft_ms, 1)} ms"
    if about.noise_floor is not None:
        noise = about.noise_floor
        total_variation = f"{noise.mean_total_variation:.4f} on average, {noise.max_total_variation:.4f} at most"
        yield "noise floor", f"total variation {total_variation}, after {noise.context_tokens} tokens"
    if not math.isnan(summary.plain_spread):
        yield "plain runs", f"those of one prompt differ by a factor of {number(summary.plain_spread)} in the median"
    yield "SpeculatoViz", about.version
    for run in folder.runs:
        if run.error is not None:
            yield "failed", f"{run.cell.label} ({run.category} {run.prompt}): {run.error}"
    for warning in dict.fromkeys(f"{run.cell.label}: {run.warning}" for run in folder.runs if run.warning):
        yield "warning", warning
