"""Settings for another engine as text: what to add to its command, with the evidence in comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from speculatoviz.lab.acceptance import LEVEL
from speculatoviz.lab.engines.evidence import Evidence
from speculatoviz.lab.engines.names import ENGINES, Engine
from speculatoviz.lab.engines.settings import WRITERS, EngineSettings, acceptance_length, accepted_per_draft, rates


def exported(engine: Engine, found: Evidence, weights: str | None = None) -> EngineSettings:
    """The settings of an engine. weights: the draft's, as that engine names them. Raises BadRequestError."""
    return WRITERS[engine](found, weights)


def as_text(engine: Engine, found: Evidence, settings: EngineSettings) -> str:
    """Lines to paste; everything that is no flag is a comment, in the shell and in Python."""
    lines = [f"# {line}" for line in (*_header(engine, found), *found.notes, *settings.notes)]
    lines += ["", *_continued(engine, settings.arguments)]
    if settings.stand_in:
        lines += [
            "",
            "# To time this workload with a drafter of any quality: its tokens are accepted as often as measured here.",
            "# The text is then not the model's.",
            *settings.environment,
            *_continued(engine, settings.stand_in),
        ]
    lines += [
        "",
        "# AIConfigurator:",
        f"# --nextn {found.depth} --nextn-accepted {accepted_per_draft(found):.4f}",
    ]
    return "\n".join(lines)


def as_document(engine: Engine, found: Evidence, settings: EngineSettings) -> dict[str, Any]:
    """The same as one JSON object."""
    counted = found.acceptance
    return {
        "engine": engine,
        "release": ENGINES[engine].release,
        **asdict(settings),
        "drafter": found.drafter,
        "depth": found.depth,
        "rule": found.rule,
        "sampling": found.sampling.model_dump(),
        "target_model": found.started.target_model.name,
        "draft_model": found.started.draft_model.name if found.started.draft_model else None,
        "runs": found.runs,
        "rounds": counted.rounds,
        "drafts": counted.drafts,
        "draft_tokens": counted.drafted,
        "accepted_tokens": counted.accepted,
        "accepted_at": list(counted.accepted_at),
        "synthetic_acceptance_rates": rates(found),
        "conditional_acceptance_rates": counted.conditional,
        "mean_acceptance_length": acceptance_length(found),
        "mean_acceptance_length_interval": list(found.length_interval) if found.length_interval else None,
        "nextn": found.depth,
        "nextn_accepted": accepted_per_draft(found),
        "traces": list(found.traces),
        "evidence_notes": list(found.notes),
    }


def _continued(engine: Engine, arguments: Sequence[str]) -> list[str]:
    """The lines of one command's arguments; those of a program in Python stand alone."""
    if engine == "transformers":
        return list(arguments)
    return [f"{line} \\" for line in arguments[:-1]] + list(arguments[-1:])


def _header(engine: Engine, found: Evidence) -> list[str]:
    about, target, draft = ENGINES[engine], found.started.target_model, found.started.draft_model
    drafter = f"{found.drafter}: {draft.name} ({draft.quantisation})" if draft and found.drafter == "model" else None
    counted = found.acceptance
    interval = ""
    if found.length_interval is not None:
        low, high = found.length_interval
        interval = f" ({100 * LEVEL:.0f} % interval {low:.2f} to {high:.2f})"
    return [
        f"Speculative decoding for {about.title} {about.release}, written by SpeculatoViz {version('speculatoviz')}.",
        f"Target {target.name} ({target.quantisation}). Drafter {drafter or found.drafter}.",
        f"Rule {found.rule}, {_sampling(found)}. Exactness where it was recorded: {found.started.exactness.label}.",
        f"Evidence: {_plural(found.runs, 'run')}, {_plural(counted.drafts, 'draft')} of up to {found.depth} tokens, "
        f"{counted.accepted} of {counted.drafted} tokens accepted. Recorded {_span(found.created)}, "
        f"{'; '.join(found.machines)}.",
        f"Accepted by position, of all drafts (unconditional): {_listed(list(counted.unconditional))}.",
        f"Accepted by position, of the drafts that reached it (conditional): {_listed(counted.conditional)}.",
        f"Mean acceptance length {acceptance_length(found):.2f}{interval}.",
        "The acceptance carries over to another machine, if weights and prompts are the same; the speed does not.",
    ]


def _sampling(found: Evidence) -> str:
    sampling = found.sampling
    parts = [f"temperature {sampling.temperature:g}"]
    parts += [f"top-k {sampling.top_k}"] if sampling.top_k else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p < 1.0 else []
    parts += [f"min-p {sampling.min_p:g}"] if sampling.min_p else []
    return ", ".join(parts)


def _span(created: Sequence[str]) -> str:
    days = sorted({moment[:10] for moment in created})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _listed(values: Sequence[float | None]) -> str:
    return ", ".join("unknown" if value is None else f"{value:.3f}" for value in values)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
