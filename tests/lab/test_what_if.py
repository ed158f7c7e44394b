"""What-if questions: the answer for the run's own depth is the run, bounds and shares come from the same tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import speculatoviz as sv
from speculatoviz.core.types import Sampling
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.round_costs import RoundCosts, costs_of
from speculatoviz.lab.run_record import RunRecord, run_record
from speculatoviz.lab.what_if import Question, what_if
from speculatoviz.session.session import Session
from support import records, toy_session
from support.toy_pair import pair

TARGET, DRAFT = pair()
TEXT = tuple(i * i % 5 for i in range(160))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    loaded = toy_session.load(tmp_path_factory.mktemp("toys"), record_depth=8)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def record(session: Session) -> RunRecord:
    return records.recorded(session, drafter="model", k=3, max_tokens=160, ignore_eos=True)


def priced(**passes: float) -> Question:
    table = {int(name.removeprefix("p")): ms for name, ms in passes.items()}
    return Question(costs=lambda own: own.changed(table, draft_ms=5.0, network_ms=0.0))


def test_the_runs_own_depth_takes_the_time_that_the_run_took(record: RunRecord) -> None:
    answer = what_if([record], Question((3,)))
    own = sum(round.own_ms for round in record.rounds)
    [choice] = answer.choices

    assert choice.exact
    assert choice.rounds == len(record.rounds)
    assert choice.accepted == sum(round.accepted for round in record.rounds)
    assert choice.tps == pytest.approx(1000 * 160 / own, rel=0.01)
    assert answer.measured_tps == pytest.approx(1000 * 160 / own)


def test_times_come_from_what_is_given() -> None:
    record = records.written(TARGET, DRAFT, TEXT, 4, Sampling())
    answer = what_if([record], Question((2,), costs=lambda own: own.changed({1: 10.0, 3: 16.0}, 2.0, 4.0)))
    [choice] = answer.choices
    other_ms = record.rounds[0].other_ms

    assert answer.plain_tps == pytest.approx(1000 / (10.0 + 4.0 + other_ms))
    full = 2 * 2.0 + 16.0 + 4.0 + other_ms
    assert choice.round_ms == pytest.approx(full, rel=0.02)  # the last round may be shorter
    assert choice.tps == pytest.approx(1000 * choice.tokens_per_round / choice.round_ms)


def test_sequences_that_decode_together_share_passes_of_all_their_tokens() -> None:
    record = records.written(TARGET, DRAFT, TEXT, 4, Sampling())
    table = {1: 10.0, 4: 12.0, 8: 18.0, 12: 26.0}

    def costs(own: RoundCosts) -> RoundCosts:
        return own.changed(table, 2.0, 4.0)

    other_ms = record.rounds[0].other_ms
    [alone] = what_if([record], Question((2,), costs=costs)).choices
    answer = what_if([record], Question((2,), batch=4, costs=costs))
    [choice] = answer.choices

    assert answer.plain_tps == pytest.approx(4 * 1000 / (12.0 + 4.0 + 4 * other_ms))
    assert choice.round_ms == pytest.approx(2 * 2.0 * 12.0 / 10.0 + 26.0 + 4.0 + 4 * other_ms, rel=0.02)
    assert choice.tokens_per_round == alone.tokens_per_round
    assert choice.tps == pytest.approx(4 * 1000 * choice.tokens_per_round / choice.round_ms)
    assert choice.exact
    assert choice.measured_passes
    assert choice.low is not None
    assert choice.high is not None
    assert choice.low <= choice.tps <= choice.high

    given = what_if([record], Question((2,), batch=4, draft_ms=3.0, costs=costs)).choices[0]
    assert given.draft_ms == pytest.approx(6.0, rel=0.02)
    lookups = [replace(record, drafter="suffix")]
    assert what_if(lookups, Question((2,), batch=4, costs=costs)).choices[0].draft_ms == pytest.approx(16.0, rel=0.02)


def test_a_batch_needs_passes_of_its_size_and_one_depth_for_all(record: RunRecord) -> None:
    question = priced(p1=100.0, p2=101.0, p8=103.0)
    assert [choice.depth for choice in what_if([record], replace(question, batch=2)).choices] == [1, 2, 3]
    assert not what_if([record], replace(question, batch=2, depths=(2,))).choices[0].measured_passes
    for batch in (5, 100):
        with pytest.raises(BadRequestError, match=f"No pass over {2 * batch} tokens was measured, only over up to 8"):
            what_if([record], replace(question, batch=batch))
    with pytest.raises(BadRequestError, match="sequences that decode together draft differently deep"):
        what_if([record], replace(question, batch=2, policy="adaptive"))


def test_the_best_depth_follows_the_pass_table(record: RunRecord) -> None:
    flat = what_if([record], priced(p1=100.0, p2=101.0, p3=102.0, p9=103.0))
    steep = what_if([record], priced(p1=100.0, p2=220.0, p3=330.0, p9=900.0))

    assert flat.best >= 2
    assert steep.best == 0
    assert steep.best_share == 1.0
    assert all(choice.speedup < 1 for choice in steep.choices)


def test_bounds_hold_the_rate_and_are_drawn_from_the_same_blocks(record: RunRecord) -> None:
    answer = what_if([record], Question())

    assert [choice.depth for choice in answer.choices] == list(range(1, 9))
    for choice in answer.choices:
        assert choice.low is not None
        assert choice.high is not None
        assert choice.low < choice.tps < choice.high
    assert answer == what_if([record], Question()), "the same question has the same answer"
    assert answer.best_share is not None
    assert 0 < answer.best_share <= 1


def test_plain_decoding_has_no_spread(record: RunRecord) -> None:
    """Every block takes the same time, so that only drafts differ from sample to sample."""
    answer = what_if([record], priced(p1=10.0, p2=10_000.0))
    assert answer.best_share == 1.0


def test_short_outputs_get_no_bounds(session: Session) -> None:
    answer = what_if([records.recorded(session, drafter="model", max_tokens=20)], Question((1,)))
    assert answer.best_share is None
    assert (answer.choices[0].low, answer.choices[0].high) == (None, None)


def test_several_prompts_are_one_answer(session: Session) -> None:
    prompts = ["a", "b", "once", "upon", "a time", "in", "the", "end", "zz"]
    found = [records.recorded(session, 2, prompt=p, drafter="model", max_tokens=20, ignore_eos=True) for p in prompts]
    answer = what_if(found, Question((2,)))

    assert (answer.runs, answer.tokens) == (9, 180)
    assert answer.choices[0].low is not None
    alone = [what_if([one], Question((2,))).choices[0] for one in found]
    assert answer.choices[0].accepted == sum(choice.accepted for choice in alone)


def test_a_sampled_output_is_an_estimate(session: Session) -> None:
    record = records.recorded(session, drafter="model", k=3, temperature=0.8, max_tokens=60, ignore_eos=True)
    by_rule = {rule: what_if([record], Question((3,), rule=rule)).choices[0] for rule in ("token", "block", "match")}

    assert not any(choice.exact for choice in by_rule.values())
    assert by_rule["match"].tokens_per_round < by_rule["token"].tokens_per_round


def test_chosen_tokens_are_exact_at_any_temperature(session: Session) -> None:
    record = records.recorded(session, drafter="ngram", k=3, temperature=0.8, max_tokens=60, ignore_eos=True)
    assert what_if([record], Question((2,))).choices[0].exact


def test_auto_is_an_estimate_and_lets_expensive_drafts_be(record: RunRecord) -> None:
    asked = replace(priced(p1=100.0, p2=220.0, p3=330.0, p9=900.0), depths=(8,), policy="auto")
    [choice] = what_if([record], asked).choices

    assert not choice.exact
    assert choice.tokens_per_round < 1.3, "nearly every round is plain"


def test_passes_between_measured_sizes_are_marked(record: RunRecord) -> None:
    answer = what_if([record], replace(priced(p1=10.0, p3=20.0), depths=(1, 2, 5)))

    assert [(choice.depth, choice.measured_passes) for choice in answer.choices] == [(1, False), (2, True)]
    assert answer.left_out == [5]


def test_what_cannot_be_answered_is_refused_in_words(session: Session, record: RunRecord) -> None:
    bare = toy_session.run(session, drafter="model", record_depth=0)
    with pytest.raises(BadRequestError, match="no record"):
        run_record(bare)
    with pytest.raises(BadRequestError, match="changes the output"):
        what_if([record], Question(rule="typical"))
    typical = toy_session.run(session, drafter="model", rule="typical", k=2, record_depth=4)
    with pytest.raises(BadRequestError, match="typical acceptance"):
        run_record(typical)
    for depths in [(0,), (9,), (1, 12)]:
        with pytest.raises(BadRequestError, match="recorded has depth 8"):
            what_if([record], Question(depths))
    with pytest.raises(BadRequestError, match="No pass over 6 tokens"):
        what_if([record], replace(priced(p1=10.0, p3=20.0), depths=(5,)))
    other = records.recorded(session, drafter="ngram", max_tokens=20)
    with pytest.raises(BadRequestError, match="differ in their drafter"):
        what_if([record, other], Question())
    with pytest.raises(BadRequestError, match="no record"):
        what_if([], Question())


def test_a_sampled_record_without_p_is_refused() -> None:
    record = records.written(TARGET, DRAFT, TEXT[:20], 2, Sampling(1.0))
    blind = replace(record, places=tuple(one.model_copy(update={"target_prob": None}) for one in record.places))

    assert what_if([record], Question((2,))).choices
    with pytest.raises(BadRequestError, match="no probabilities of the target"):
        what_if([blind], Question((2,)))


def test_the_python_api_asks_runs_and_traces(session: Session, tmp_path: Path) -> None:
    run = sv.Run(toy_session.run(session, drafter="model", record_depth=4, max_tokens=30))
    run.save(tmp_path / "run.jsonl")
    asked: dict[str, Any] = {
        "k": (1, 2),
        "rule": "block",
        "pass_ms": {1: 10.0, 2: 12.0, 3: 14.0},
        "draft_ms": 2.0,
        "rtt_ms": 5.0,
    }
    answer = sv.what_if(run, **asked)

    assert [choice.depth for choice in answer.choices] == [1, 2]
    assert answer.rule == "block"
    assert answer.choices[0].verify_ms > 15.0
    assert sv.what_if(tmp_path / "run.jsonl", **asked) == answer
    assert sv.what_if(run, run, **asked).runs == 2


def test_a_run_that_drafted_nothing_takes_the_times_of_its_record(session: Session) -> None:
    record = records.recorded(session, drafter="model", k=0, max_tokens=30)
    costs = costs_of(record)
    assert isinstance(costs, RoundCosts)
    assert costs.draft_ms > 0
    assert costs.first_draft_ms == costs.draft_ms
