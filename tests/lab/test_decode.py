"""A decoded prompt has all of its cost, whatever was decoded before it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from speculatoviz.core.rounds import Times
from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.models.base import Feed
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start
from support import toy_session
from support.rounds import make_round

PROMPT = "once upon a time there was a model that drafted tokens for another one " * 2
START = Start(prompt=PROMPT, max_tokens=8, k=2, policy="fixed", temperature=0.0)


def test_the_rate_counts_the_drafters_prefill_and_not_the_targets() -> None:
    first = Times(2.0, 5.0, 0.0, 1.0, 2.0, prefill_ms=500.0, draft_prefill_ms=30.0)
    decoded = Decoded((make_round(2, 2, measured=first), make_round(2, 0)))

    assert decoded.round_ms == pytest.approx(20.0)
    assert decoded.draft_prefill_ms == pytest.approx(30.0)
    assert decoded.tps == pytest.approx(1000 * 4 / 50.0)


def _tokens_of_draft_passes(session: Session, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many tokens the draft model is fed in a run of START."""
    model, fed = session.draft_model, 0
    assert model is not None
    forward = model.forward

    def counted(feeds: Sequence[Feed]) -> object:
        nonlocal fed
        fed += sum(len(feed.tokens) for feed in feeds)
        return forward(feeds)

    with monkeypatch.context() as patch:
        patch.setattr(model, "forward", counted)
        decode_prompt(session, START)
    return fed


def _forgets_nothing(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    monkeypatch.setattr(session.drafters["model"], "forget_prompts", lambda: None)


@pytest.mark.parametrize("broken", [False, True])
def test_a_second_run_reads_the_prompt_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    with closing(toy_session.load(tmp_path)) as session:
        if broken:
            _forgets_nothing(monkeypatch, session)
        first = _tokens_of_draft_passes(session, monkeypatch)
        again = _tokens_of_draft_passes(session, monkeypatch)

    assert (again < first) if broken else (again == first)


def test_the_first_round_states_the_drafters_part_of_the_prefill(tmp_path: Path) -> None:
    with closing(toy_session.load(tmp_path)) as session:
        rounds = decode_prompt(session, START).rounds

    assert 0.0 < rounds[0].times.draft_prefill_ms < rounds[0].times.prefill_ms
    assert all(round.times.draft_prefill_ms == 0.0 for round in rounds[1:])
