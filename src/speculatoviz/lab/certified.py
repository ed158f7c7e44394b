"""A certificate as a file: sealed when it is written, checked when a passport takes it in."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from pydantic import ConfigDict, ValidationError

from speculatoviz.core.types import Rule
from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.certificate import LEVEL, Certificate, Verdict
from speculatoviz.lab.sealing import SEAL, content_hash, is_sealed
from speculatoviz.telemetry.parts import ModelInfo, Strict

_ANEW = "Write it anew with speculatoviz certify --json."


class _Part(Strict):
    """Read from a certificate: other fields of it are left out."""

    model_config = ConfigDict(extra="ignore")


class CertifiedTest(_Part):
    """p_value: of a test. distance: the smallest total variation that it would have caught; None for none."""

    p_value: float
    distance: float | None


class CertifiedGreedy(_Part):
    """prompts, tokens: that were compared at T=0."""

    verdict: Verdict
    prompts: int
    tokens: int


class CertifiedSampled(_Part):
    """samples: runs of each kind. first_token: against the target's probabilities; plain: against plain runs."""

    verdict: Verdict
    samples: int
    positions: int
    first_token: CertifiedTest | None
    plain: CertifiedTest


class CertifiedPlan(_Part):
    """k: drafted tokens of a round; None for a policy that chose. temperature: of the sampled runs."""

    k: int | None
    temperature: float


class Certified(_Part):
    """What a passport keeps of a certificate. sha256: the certificate's own seal, which binds the rest of it too."""

    sha256: str
    speculatoviz: str
    verdict: Verdict
    level: float
    rule: Rule
    label: str
    plan: CertifiedPlan
    greedy: CertifiedGreedy
    sampled: CertifiedSampled


class CertifiedPair(_Part):
    """Whom a certificate is about. draft_model, heads: what the drafter uses."""

    drafter: str
    target_model: ModelInfo
    draft_model: ModelInfo | None
    heads: tuple[str, ...]


def document(found: Certificate) -> dict[str, Any]:
    """The certificate for JSON, with the verdict of each part and its seal."""
    values = asdict(found)
    for name, part in (("greedy", found.greedy), ("sampled", found.sampled)):
        values[name] |= {"verdict": part.verdict}
    values["target_model"] = found.target_model.model_dump(mode="json")
    values["draft_model"] = None if found.draft_model is None else found.draft_model.model_dump(mode="json")
    head = {"type": "certificate", "speculatoviz": version("speculatoviz"), "verdict": found.verdict, "level": LEVEL}
    whole: dict[str, Any] = json.loads(json.dumps(head | values))  # tuples as JSON has them
    return whole | {SEAL: content_hash(whole)}


def read_certificate(text: str, name: str) -> tuple[Certified, CertifiedPair]:
    """What a certificate's file states, and whom it is about.

    Raises BadRequestError if it is none, or was changed after it was written.
    """
    try:
        values = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{name} is no JSON ({reason_of(error)}).", _ANEW) from error
    if not isinstance(values, dict) or values.get("type") != "certificate":
        raise BadRequestError(f"{name} is no certificate.", "Name a file that speculatoviz certify --json wrote.")
    if not is_sealed(values):
        raise BadRequestError(f"{name} was changed after it was written: its content has another hash.", _ANEW)
    try:
        return Certified.model_validate(values), CertifiedPair.model_validate(values)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadRequestError(f"{name} is no whole certificate ({place}).", _ANEW) from error
