"""A certificate is sealed, and a passport takes in that of its own pair and rule only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.certificate import Certificate, GreedyResult, Plan, SampledResult
from speculatoviz.lab.certified import document, read_certificate
from speculatoviz.lab.passport import CategorisedTrace, Passport, as_text, passport, read, with_certificate
from speculatoviz.lab.passport_table import table
from speculatoviz.lab.randomisation import Outcome
from speculatoviz.lab.sealing import SEAL, content_hash
from support.recorded import model, traced

ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2)]


def certificate(p_value: float = 0.4, **changed: Any) -> str:
    """What `certify --json` writes of the pair of `written`."""
    values: dict[str, Any] = {
        "target": "Target-7B",
        "target_model": model("Target-7B"),
        "draft_model": model("owner/Draft-0.5B"),
        "heads": (),
        "drafter": "model",
        "rule": "token",
        "label": "exact",
        "noise": 0.01,
        "batch_invariant": False,
        "plan": Plan(),
        "greedy": GreedyResult(14, 800, 300, 600, ()),
        "sampled": SampledResult(400, 4, 500, 900, Outcome(0.5, 0.12), Outcome(p_value, 0.2)),
    }
    return json.dumps(document(Certificate(**values | changed)))


def written(**options: Any) -> Passport:
    return passport([CategorisedTrace("code", traced(ROUNDS, "code.jsonl", **options), "ab" * 32)])


def test_a_passport_holds_what_the_certificate_found_and_its_hash() -> None:
    text = certificate()
    found = with_certificate(written(), text, "c.json")

    assert found.certificate is not None
    assert (found.certificate.verdict, found.certificate.sampled.plain.p_value) == ("passed", 0.4)
    assert found.certificate.sampled.plain.distance == 0.2  # what would have been caught
    assert found.certificate.sha256 == json.loads(text)[SEAL]
    assert read(as_text(found), "p.json") == found
    values = json.loads(as_text(found))
    values["certificate"]["verdict"] = "undecided"
    with pytest.raises(BadRequestError, match="changed after it was written"):
        read(json.dumps(values), "p.json")


def test_the_table_shows_the_verdict_for_the_certified_rule() -> None:
    both = passport(
        [CategorisedTrace("code", traced(ROUNDS, "c", rule=rule), "ab" * 32) for rule in ("token", "block")]
    )
    failed = with_certificate(both, certificate(p_value=0.0002), "c.json")
    found = table([failed, written(target_model=model("Another-7B"))])

    place = found.titles.index("certificate")
    assert {(row[0], row[2], row[place]) for row in found.rows} == {
        ("Target-7B (Q4_K_M)", "token", "failed"),
        ("Target-7B (Q4_K_M)", "block", "–"),
        ("Another-7B (Q4_K_M)", "token", "–"),
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target_model": model("Target-7B", "Q8_0")}, "another target"),
        ({"draft_model": model("other/Draft")}, "another draft model"),
        ({"draft_model": None, "drafter": "suffix"}, "another draft model"),
        ({"heads": ("head.safetensors",)}, "another head"),
        ({"rule": "block"}, "certifies the rule block"),
    ],
)
def test_a_certificate_of_another_pair_or_rule_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        with_certificate(written(), certificate(**changed), "c.json")


def test_a_changed_certificate_is_noticed_and_what_is_none_is_refused() -> None:
    values = json.loads(certificate(p_value=0.0002))
    assert values["verdict"] == "failed"
    values["verdict"] = "passed"
    with pytest.raises(BadRequestError, match="changed after it was written"):
        read_certificate(json.dumps(values), "c.json")
    del values["greedy"]
    with pytest.raises(BadRequestError, match="no whole certificate"):
        read_certificate(json.dumps(values | {SEAL: content_hash(values)}), "c.json")
    for text, words in (("{", "no JSON"), ("[]", "no certificate"), (as_text(written()), "no certificate")):
        with pytest.raises(BadRequestError, match=words):
            read_certificate(text, "c.json")


@given(st.text())
def test_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadRequestError):
        read_certificate(text, "c.json")
