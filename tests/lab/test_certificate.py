"""The certificate passes what is exact, and fails every broken twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Floats, Rule
from speculatoviz.lab import certificate
from speculatoviz.lab.certificate import Plan, certify, exchange_variation, order_depends_on_rows
from speculatoviz.lab.decode import Decoded
from speculatoviz.lab.long_prompts import lengthened
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.window import Window
from speculatoviz.session.session import Session
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.messages import Start
from support import toy_session, twins

PROMPTS = ("once upon a time", "the sea")
QUICK = Plan(k=3, tokens=16, samples=200, positions=3)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with closing(toy_session.load(tmp_path)) as loaded:
        yield loaded


def with_rule(monkeypatch: pytest.MonkeyPatch, twin: twins.Verify) -> None:
    rule: Rule = "token"
    monkeypatch.setattr("speculatoviz.targets.local.RULES", {rule: RULES[rule]._replace(verify=twin)})


def test_an_exact_pair_passes_and_states_what_would_have_been_caught(session: Session) -> None:
    found = certify(session, PROMPTS, QUICK)

    assert found.verdict == found.greedy.verdict == found.sampled.verdict == "passed"
    assert (found.label, found.rule, found.drafter) == ("exact", "token", "model")
    assert found.greedy.departures == ()
    assert found.greedy.drafted > 0
    assert found.sampled.drafted > 0
    assert found.sampled.first_token is not None
    assert found.sampled.first_token.distance is not None
    assert found.sampled.plain.distance is not None
    assert 0.0 < found.sampled.first_token.distance < found.sampled.plain.distance < 0.5


@pytest.mark.parametrize(("twin", "samples"), [(twins.accept_when_equal, 200), (twins.residual_without_q, 500)])
def test_a_broken_rule_fails(
    session: Session, monkeypatch: pytest.MonkeyPatch, twin: twins.Verify, samples: int
) -> None:
    with_rule(monkeypatch, twin)
    found = certify(session, PROMPTS[1:], replace(QUICK, samples=samples))

    assert found.verdict == found.sampled.verdict == "failed"


def test_a_lossy_rule_fails(tmp_path: Path) -> None:
    with closing(toy_session.load(tmp_path, rule="typical")) as session:
        found = certify(session, PROMPTS[:1], QUICK)

    assert found.label == "lossy"
    assert found.sampled.verdict == "failed"


def test_a_greedy_text_that_no_noise_explains_fails(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    run = certificate.decode_prompt

    def broken(session: Session, start: Start, **arguments: Any) -> Decoded:
        assert isinstance(session.target, LocalTarget)
        if start.k:
            arguments["target"] = twins.ForgetfulTarget(session.target)
        return run(session, start, **arguments)

    monkeypatch.setattr(certificate, "decode_prompt", broken)
    found = certify(session, PROMPTS, QUICK)

    assert found.verdict == found.greedy.verdict == "failed"
    assert all(departure.near_tie is False for departure in found.greedy.departures)
    first = found.greedy.departures[0]
    assert first.plain_token != first.speculative_token
    assert first.margin is not None
    assert first.margin > 0.0


class Uneven(ToyModel):
    """Two likeliest tokens that change places where rows share a pass."""

    shared = False

    def logits(self, prefix: Sequence[int]) -> Floats:
        logits = np.zeros(len(super().logits(prefix)))
        logits[1], logits[2] = (0.999, 1.0) if self.shared else (1.0, 0.999)
        return logits

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self.shared = len(feeds[0].tokens) > 1
        return super().forward(feeds)


def test_an_order_that_depends_on_the_rows_of_a_pass_is_found() -> None:
    ids = [0, 1, 2, 1, 0, 1]

    assert order_depends_on_rows(Window(Uneven(), 64), ids[:3], ids[3:], 1, 2, 4)
    assert not order_depends_on_rows(Window(Uneven(), 64), ids[:3], ids[3:], 1, 3, 4)
    assert not order_depends_on_rows(Window(ToyModel(), 64), ids[:3], ids[3:], 1, 2, 4)


@pytest.mark.parametrize("margin", [0.0, 0.05, 1.0, 8.0])
def test_the_exchange_variation_is_what_exchanges_two_tokens(margin: float) -> None:
    p = np.array([1.0, np.exp(-margin)])
    p /= p.sum()

    assert exchange_variation(margin) == pytest.approx((p[0] - p[1]) / 2)


def test_without_drafts_nothing_is_certified(session: Session) -> None:
    found = certify(session, PROMPTS[:1], Plan(k=0, tokens=8, samples=50, positions=2))

    assert found.verdict == "undecided"


@pytest.mark.parametrize("tokens", [1, 100, 1000])
def test_a_lengthened_prompt_has_the_wanted_length_and_ends_as_before(tokens: int) -> None:
    def encode(text: str) -> list[int]:
        return [ord(letter) for letter in text if letter == " "]

    text = lengthened("a short question", tokens, encode)

    assert text.endswith("a short question")
    assert len(encode(text)) >= tokens
    assert len(encode(text)) <= max(tokens + 5, 2)
