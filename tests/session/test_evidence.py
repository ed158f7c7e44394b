"""What is only for display is computed with evidence alone, and changes no token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Penalties, Sampling
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.telemetry.events import Done, DraftToken, Event, Started, VerifyResult
from speculatoviz.telemetry.mapping import sampling_of
from support import toy_session
from support.penalties import penalised


def test_a_run_without_evidence_computes_nothing_for_display(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    shown, bare = (toy_session.run(session, temperature=0.8, seed=1, evidence=evidence) for evidence in (True, False))
    session.close()

    assert displayed(shown) == {"overlap", "compared", "target_top_tokens", "autopsy"}
    assert displayed(bare) == set()
    assert ids(shown) == ids(bare)


def displayed(run: list[Event]) -> set[str]:
    """The fields that are only for display and have a value in a run."""
    found: set[str] = set()
    for event in run:
        match event:
            case VerifyResult():
                found |= {name for name in ("overlap", "compared", "target_top_tokens") if getattr(event, name)}
            case Done(autopsy=autopsy) if autopsy is not None:
                found.add("autopsy")
    return found


def ids(run: list[Event]) -> list[int]:
    done = run[-1]
    assert isinstance(done, Done)
    return done.token_ids


def test_a_run_states_its_penalties_and_shows_the_p_that_they_make(tmp_path: Path) -> None:
    penalties = Penalties(presence=0.8, frequency=0.4, repetition=1.3, last_n=5, bias=((3, 1.0), (7, -2.0)))
    session = toy_session.load(tmp_path)
    fields = {"presence_penalty": 0.8, "frequency_penalty": 0.4, "repetition_penalty": 1.3, "repeat_last_n": 5}
    events = toy_session.run(session, temperature=0.9, logit_bias={3: 1.0, 7: -2.0, 8: 0.0}, raw=True, **fields)
    prompt = session.target.tokenizer.encode("once upon a time", special=False)
    session.close()

    [started] = [event for event in events if isinstance(event, Started)]
    assert sampling_of(started.sampling) == Sampling(0.9, penalties=penalties)
    compared = 0
    for output, event in _after(events):
        if event.status in {"accepted", "plain", "bonus"}:
            ids = [*prompt, *output]
            logits = penalised(ToyModel(0, ALPHABET).logits(ids), ids, len(prompt), penalties)
            p = distribution(logits, Sampling(0.9))
            assert event.target_prob == pytest.approx(p.prob(event.token_id), abs=1e-12)
            for shown in event.compared:
                assert shown.target_prob == pytest.approx(p.prob(shown.token_id), abs=1e-12)
            compared += 1
    assert compared > 5


def _after(events: list[Event]) -> list[tuple[list[int], VerifyResult]]:
    """The emitted tokens of a run, each with the output before it."""
    emitted = [e for e in events if isinstance(e, VerifyResult) and e.final_token is not None]
    ids = [event.token_id for event in emitted]
    return [(ids[:place], event) for place, event in enumerate(emitted)]


def test_texts_under_other_penalties_are_not_compared(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    plain = toy_session.run(session, temperature=0, k=0)
    other = toy_session.run(session, temperature=0, k=3, presence_penalty=2.0)
    session.close()

    assert ids(plain) != ids(other)
    assert isinstance(other[-1], Done)
    assert other[-1].departure is None


def test_a_run_states_its_grammar_and_marks_what_it_forces(tmp_path: Path) -> None:
    session, grammar = toy_session.load(tmp_path), {"kind": "regex", "text": "(yes|no)( yes| no){3}"}
    events = toy_session.run(session, temperature=1, grammar=grammar)
    session.close()

    [started] = [event for event in events if isinstance(event, Started)]
    assert started.grammar is not None
    assert started.grammar.model_dump() == grammar
    sources = {(e.round, e.node): e.source for e in events if isinstance(e, DraftToken)}
    forced = [e for e in events if isinstance(e, VerifyResult) and sources.get((e.round, e.node or 0)) == "grammar"]
    forced = [event for event in forced if event.node is not None]
    assert forced
    for event in forced:  # every text has one spelling in letters
        assert (event.status, event.target_prob) == ("accepted", 1.0)
    done = events[-1]
    assert isinstance(done, Done)
    assert re.fullmatch(grammar["text"], done.generated_text)
