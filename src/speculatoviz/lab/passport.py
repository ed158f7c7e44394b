"""A passport: what one drafter reached on one target, by kind of text, in a file whose changes are noticed.

The file holds counts, not only rates, so that passports can be compared and added up. Its last field is the SHA-256 of
the rest. It shows that a file is as it was written; who wrote it, it does not show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from speculatoviz.core.types import Rule
from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.acceptance import recorded_runs
from speculatoviz.lab.certified import Certified, read_certificate
from speculatoviz.lab.engines.evidence import Evidence, NamedTrace, evidence
from speculatoviz.lab.sealing import SEAL, content_hash, is_sealed
from speculatoviz.telemetry.events import Started
from speculatoviz.telemetry.parts import ExactnessInfo, ModelInfo, NoiseFloor, SamplingInfo, Strict

VERSION = 1
UNNAMED = "other"  # the category of traces without one
_ANEW = "Fetch it again, or write it anew with speculatoviz passport."


class PassportModel(Strict):
    """A model: what has to be equal for two passports to speak of the same one."""

    name: str
    quantisation: str
    runtime: str
    parameters: int | None
    fingerprint: str


class PassportTrace(Strict):
    """Where a measurement comes from. sha256: of the trace's bytes."""

    name: str
    sha256: str
    created: str
    machine: str


class Measurement(Strict):
    """The acceptance on one kind of text under one rule and sampling.

    depth: most tokens of a draft. The counts are those of `lab.acceptance.Acceptance`. interval: of the mean acceptance
    length, 95 %.
    """

    category: str
    rule: Rule
    sampling: SamplingInfo
    exactness: ExactnessInfo
    noise_floor: NoiseFloor | None
    depth: int
    drawn: bool
    runs: int
    rounds: int
    drafts: int
    drafted_at: tuple[int, ...]
    reached_at: tuple[int, ...]
    accepted_at: tuple[int, ...]
    interval: tuple[float, float] | None
    notes: tuple[str, ...]
    traces: tuple[PassportTrace, ...]

    @property
    def mean_acceptance_length(self) -> float:
        """1 + accepted tokens / drafts."""
        return 1.0 + sum(self.accepted_at) / self.drafts


class Passport(Strict):
    """One pair. certificate: of its exactness, if one was taken in. sha256: of all other fields, as `sealed` has it."""

    type: Literal["passport"] = "passport"
    version: Literal[1] = 1
    speculatoviz: str
    target: PassportModel
    draft: PassportModel | None
    drafter: str
    heads: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    certificate: Certified | None = None
    sha256: str = ""


class CategorisedTrace(NamedTuple):
    """A trace, the kind of its text, and the SHA-256 of its bytes."""

    category: str
    named: NamedTrace
    sha256: str


def passport(traces: Sequence[CategorisedTrace], drafter: str | None = None, depth: int | None = None) -> Passport:
    """The sealed passport of traces of one pair, which may differ in category, rule and sampling.

    Raises BadRequestError with what the traces cannot prove.
    """
    groups: dict[tuple[str, str, SamplingInfo], list[CategorisedTrace]] = {}
    for trace in traces:
        started = _start(trace.named)
        groups.setdefault((trace.category, started.rule, started.sampling), []).append(trace)
    found = [(key[0], group, evidence([one.named for one in group], drafter, depth)) for key, group in groups.items()]
    first = found[0][2]
    _check_pair([one for _, _, one in found])
    draft = first.started.draft_model if first.drafter == "model" else None
    return sealed(
        Passport(
            speculatoviz=version("speculatoviz"),
            target=_model(first.started.target_model),
            draft=None if draft is None else _model(draft),
            drafter=first.drafter,
            heads=tuple(head.file for head in first.started.heads if head.drafter == first.drafter),
            measurements=tuple(_measurement(category, group, one) for category, group, one in found),
        )
    )


def _start(named: NamedTrace) -> Started:
    runs = recorded_runs(named.trace.events)
    if not runs:
        raise BadRequestError(f"{named.name} contains no run.", "Name a file written with generate --trace.")
    return runs[0].started


def _check_pair(found: Sequence[Evidence]) -> None:
    """Raises BadRequestError if the groups are not of one target, one draft and one drafter."""
    for name, values in (
        ("target", [(e.started.target_model.name, e.started.target_model.quantisation) for e in found]),
        ("vocabulary", [(e.started.target_model.fingerprint,) for e in found]),
        ("drafter", [(e.drafter,) for e in found]),
        (
            "draft model",
            [(d.name, d.quantisation) if (d := e.started.draft_model) and e.drafter == "model" else () for e in found],
        ),
    ):
        different = list(dict.fromkeys(" ".join(value) for value in values))
        if len(different) > 1:
            raise BadRequestError(
                f"A passport is of one pair, and these traces differ in their {name}: {' and '.join(different[:3])}.",
                "Write one passport for each, and put them together with speculatoviz passports.",
            )


def _model(info: ModelInfo) -> PassportModel:
    return PassportModel.model_validate(info.model_dump(include=set(PassportModel.model_fields)))


def _measurement(category: str, group: Sequence[CategorisedTrace], found: Evidence) -> Measurement:
    counted = found.acceptance
    return Measurement(
        category=category,
        rule=found.rule,
        sampling=found.sampling,
        exactness=found.started.exactness,
        noise_floor=found.started.noise_floor,
        depth=found.depth,
        drawn=found.drawn,
        runs=found.runs,
        rounds=counted.rounds,
        drafts=counted.drafts,
        drafted_at=counted.drafted_at,
        reached_at=counted.reached_at,
        accepted_at=counted.accepted_at,
        interval=found.length_interval,
        notes=found.notes,
        traces=tuple(
            PassportTrace(
                name=Path(one.named.name).name,
                sha256=one.sha256,
                created=one.named.trace.header.created,
                machine=one.named.trace.header.machine,
            )
            for one in group
        ),
    )


def with_certificate(found: Passport, text: str, name: str) -> Passport:
    """The sealed passport with what a certificate's file states. name: of the file.

    Raises BadRequestError if it is no certificate, was changed, or is of another pair or rule.
    """
    certified, pair = read_certificate(text, name)
    draft = None if pair.draft_model is None else _model(pair.draft_model)
    for what, own, other in (
        ("target", found.target, _model(pair.target_model)),
        ("draft model", found.draft, draft),
        ("drafter", found.drafter, pair.drafter),
        ("head", ", ".join(found.heads), ", ".join(pair.heads)),
    ):
        if own != other:
            raise BadRequestError(
                f"{name} certifies another {what} ({_named(other)}) than that of the traces ({_named(own)}).",
                "Run speculatoviz certify with the models and the drafter of the traces.",
            )
    rules = {one.rule for one in found.measurements}
    if certified.rule not in rules:
        raise BadRequestError(
            f"{name} certifies the rule {certified.rule}, and the traces have {', '.join(sorted(rules))}.",
            "Run speculatoviz certify with the rule of the traces.",
        )
    return sealed(found.model_copy(update={"certificate": certified}))


def _named(one: PassportModel | str | None) -> str:
    if isinstance(one, PassportModel):
        return f"{one.name} {one.quantisation} on {one.runtime}, vocabulary {one.fingerprint[:8]}"
    return one or "none"


# --- the file -----------------------------------------------------------------------------------------


def sealed(found: Passport) -> Passport:
    """The same with the hash of its content."""
    return found.model_copy(update={SEAL: content_hash(found.model_dump(mode="json"))})


def as_text(found: Passport) -> str:
    """The file's text: JSON that a person can read."""
    return found.model_dump_json(indent=1) + "\n"


def read(text: str, name: str) -> Passport:
    """The passport in a file's text. Raises BadRequestError if it is none, or was changed after it was written."""
    try:
        values = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{name} is no JSON ({reason_of(error)}).", _ANEW) from error
    if not isinstance(values, dict) or values.get("type") != "passport":
        raise BadRequestError(f"{name} is no passport.", "Name a file that speculatoviz passport wrote.")
    if values.get("version") != VERSION:
        raise BadRequestError(
            f"{name} is a passport of version {str(values.get('version'))[:20]}; this program reads version {VERSION}.",
            "Use the version of SpeculatoViz that wrote it.",
        )
    if not is_sealed(values):
        raise BadRequestError(f"{name} was changed after it was written: its content has another hash.", _ANEW)
    try:
        found = Passport.model_validate_json(text.removeprefix("\ufeff"))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadRequestError(f"{name} is no whole passport ({place}).", _ANEW) from error
    if not found.measurements or any(one.drafts < 1 for one in found.measurements):
        raise BadRequestError(f"{name} holds no measured draft.", _ANEW)
    return found
