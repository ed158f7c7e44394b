"""The record of a run: what is drafted after every token of the output, with p and q, and nothing of it in the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import Draft, Floats, Rule, Sampling
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.server.api.planning import start_of
from speculatoviz.server.api.requests import CompletionRequest
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Event, Metrics, Record, RunWarning, Started
from speculatoviz.telemetry.messages import Start
from support import toy_session

PROMPT = "once upon a time"
SAMPLING = {"temperature": 0.8, "top_p": 0.9}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    loaded = toy_session.load(tmp_path_factory.mktemp("toys"))
    yield loaded
    loaded.close()


def run(session: Session, depth: int = 4, **start: object) -> list[Event]:
    return toy_session.run(session, PROMPT, record_depth=depth, **start)


def places(events: Sequence[Event]) -> list[Record]:
    return [event for event in events if isinstance(event, Record)]


def done(events: Sequence[Event]) -> Done:
    last = events[-1]
    assert isinstance(last, Done)
    return last


def after(session: Session, events: Sequence[Event], position: int) -> list[int]:
    """The committed ids before a token of the output."""
    return [*session.encode_turn(PROMPT), *done(events).token_ids[:position]]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafter", ["model", "suffix", "hybrid"])
def test_a_run_is_the_same_with_a_record(session: Session, drafter: str, temperature: float) -> None:
    asked = {"drafter": drafter, "temperature": temperature, "max_tokens": 30}
    alone, recorded = run(session, 0, **asked), run(session, **asked)

    assert done(recorded).token_ids == done(alone).token_ids
    assert places(alone) == []
    assert [place.token_id for place in places(recorded)] == done(recorded).token_ids
    assert [place.position for place in places(recorded)] == list(range(len(done(recorded).token_ids)))


def test_the_record_comes_after_the_rounds_and_before_the_end(session: Session) -> None:
    events = run(session)
    kinds = [event.type for event in events]
    started = events[0]

    assert kinds[kinds.index("record") :] == ["record"] * len(places(events)) + ["done"]
    assert [later.seq - event.seq for event, later in pairwise(events)] == [1] * (len(events) - 1)
    assert isinstance(started, Started)
    assert started.record is not None
    assert (started.record.drafter, started.record.depth, started.record.by_prefix) == ("model", 4, True)


def test_a_place_has_the_draft_that_a_round_there_makes(session: Session) -> None:
    """The draft model's own most probable tokens, and how far they are the output's."""
    events = run(session, max_tokens=30)
    model = session.draft_model
    assert isinstance(model, ToyModel)
    ids = done(events).token_ids
    for place in places(events):
        prefix = after(session, events, place.position)
        for i, token in enumerate(place.drafted):
            assert int(model.logits(prefix).argmax()) == token, (place.position, i)
            prefix.append(token)
        came = ids[place.position : place.position + len(place.drafted)]
        agree = next((i for i, (a, b) in enumerate(zip(place.drafted, came, strict=False)) if a != b), len(came))
        assert place.text_probs == [1.0] * agree + [0.0] * (len(place.text_probs) - agree)
        assert len(place.text_probs) == min(agree + 1, len(came))
        assert len(place.certainties) == len(place.drafted)
        assert place.draft_ms > 0


@pytest.mark.parametrize("rule", ["token", "block", "match"])
@pytest.mark.parametrize("k", [0, 1, 4])
def test_p_and_q_of_the_outputs_tokens_are_the_models_own(session: Session, rule: Rule, k: int) -> None:
    events = run(session, rule=rule, k=k, max_tokens=60, ignore_eos=True, **SAMPLING)
    target, draft = session.target.window, session.draft_model
    assert target is not None
    assert isinstance(target.model, ToyModel)
    assert isinstance(draft, ToyModel)
    sampling = Sampling(**SAMPLING)
    for place in places(events):
        prefix = after(session, events, place.position)
        p = distribution(target.model.logits(prefix), sampling)
        q = support(draft.logits(prefix), sampling, 256)
        assert place.target_prob == pytest.approx(p.prob(place.token_id)), place.position
        assert place.text_probs[0] == pytest.approx(q.prob(place.token_id))
        assert place.overlap is None or place.overlap == pytest.approx(p.overlap(q, 1.0))
        assert place.draft_top[0].token_id == int(q.ids[q.probs.argmax()])
    if k:
        assert any(place.overlap is not None for place in places(events))


def test_the_targets_certainty_is_known_at_temperature_0_and_1(session: Session) -> None:
    for temperature, known in [(0.0, True), (1.0, True), (0.5, False)]:
        events = run(session, temperature=temperature)
        assert all((place.target_certainty is not None) == known for place in places(events))


def test_the_times_of_the_run_do_not_contain_the_record(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rounds and the record together fit into the time from the beginning to the end: no time counts twice."""
    drafter = session.drafters["model"]
    honest = drafter.draft

    def slow(prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        if plan.stop is not None:  # of a recorded draft; those of the rounds have none
            time.sleep(0.01)
        return honest(prefix, round, plan, chance)

    monkeypatch.setattr(drafter, "draft", slow)
    events = run(session, max_tokens=20, ignore_eos=True)
    rounds_ms = sum(event.round_ms for event in events if isinstance(event, Metrics))
    record_ms = sum(place.draft_ms for place in places(events))

    assert record_ms >= 20 * 10
    assert rounds_ms + record_ms <= done(events).t_ms


def test_drafts_that_cannot_be_recorded_are_refused(session: Session) -> None:
    for drafter in ("multi",):
        with pytest.raises(BadRequestError, match="cannot be recorded"):
            session.prepare(Start(prompt="a", drafter=drafter, record_depth=4))
        session.prepare(Start(prompt="a", drafter=drafter, record_depth=0))


def test_answers_of_the_openai_api_do_not_wait_for_a_record() -> None:
    asked = CompletionRequest.model_validate({"prompt": "once", "logprobs": 3})
    assert start_of(asked, "once", 0).record_depth == 0


def test_the_setting_of_a_session_is_the_default_and_a_message_goes_before_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    recording = toy_session.load(tmp_path_factory.mktemp("toys"), record_depth=6)
    asked = [recording.prepare(Start(prompt="a", record_depth=depth)).record_depth for depth in (None, 0, 3)]
    measured = recording.calibration.pass_ms
    recording.close()

    assert asked == [6, 0, 3]
    assert measured.keys() >= set(range(1, 8)), "every pass that a question can be about is measured"


def test_a_cancelled_run_is_not_recorded(session: Session) -> None:
    seen: list[Event] = []
    prepared = session.prepare(Start(prompt=PROMPT, record_depth=4, max_tokens=30, k=2))
    for event in session.run("r", prepared, lambda: any(isinstance(e, Metrics) for e in seen)):
        seen.append(event)
    assert done(seen).finish_reason == "cancelled"
    assert places(seen) == []


def test_cancelling_a_record_ends_it_and_keeps_the_run(session: Session) -> None:
    seen: list[Event] = []
    prepared = session.prepare(Start(prompt=PROMPT, record_depth=4, max_tokens=20, ignore_eos=True, k=2))
    for event in session.run("r", prepared, lambda: any(isinstance(e, Record) for e in seen)):
        seen.append(event)
    assert done(seen).finish_reason == "length"
    assert len(places(seen)) == 1


class Breaking(ToyModel):
    """A draft model that fails after a number of passes."""

    passes = 10**9

    def logits(self, prefix: Sequence[int]) -> Floats:
        self.passes -= 1
        if self.passes < 0:
            raise ModelError("It broke.", "Mend it.")
        return super().logits(prefix)


def test_a_drafter_that_fails_while_it_is_recorded_leaves_the_run_whole(session: Session) -> None:
    drafter = session.drafters["model"]
    broken = Breaking(0, ALPHABET, mix=(7, 0.3))
    window = drafter.window  # type: ignore[attr-defined]  # the draft model's
    honest = window.model
    prepared = session.prepare(Start(prompt=PROMPT, record_depth=4, max_tokens=20, ignore_eos=True, k=0))
    window.model, seen = broken, list[Event]()
    try:
        for event in session.run("r", prepared, lambda: False):
            seen.append(event)
            if len(places(seen)) == 3:
                broken.passes = 0
    finally:
        window.model = honest
    [warning] = [event for event in seen if isinstance(event, RunWarning)]
    assert "the record ends. It broke." in warning.message
    assert warning.hint == "Mend it."
    assert len(done(seen).token_ids) == 20
    assert len(places(seen)) == 3


def test_a_run_under_a_grammar_is_not_recorded(session: Session) -> None:
    with pytest.raises(BadRequestError, match="cannot be recorded"):
        run(session, grammar={"kind": "regex", "text": "yes"})


def test_under_penalties_raw_scores_give_no_certainty(session: Session) -> None:
    penalised, free = (run(session, temperature=0, max_tokens=5, presence_penalty=penalty) for penalty in (1.0, 0.0))
    assert all(place.target_certainty is None for place in places(penalised))
    assert all(place.target_certainty is not None for place in places(free))
