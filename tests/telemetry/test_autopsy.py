"""Every rejection gets its cause: runs whose cause is known by construction, and sums that must come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import DraftEvidence, Rule, Sampling, Support
from speculatoviz.telemetry.autopsy import autopsy, followed
from speculatoviz.telemetry.autopsy_info import Cause
from speculatoviz.telemetry.causes import shares_of
from speculatoviz.telemetry.events import EVENT, Done, DraftToken, Event, Metrics, VerifyResult
from speculatoviz.telemetry.parts import HeadInfo, OverlapInfo, PassTime
from speculatoviz.telemetry.rejections import Rejections, parts_of
from support.explained import OPEN, Proposal, Proposing, autopsy_of, events, exactly, shares
from support.toy_pair import model_drafter, pair
from support.trimmed_toy import TrimmedToy

TARGET, DRAFT = pair()
TOP_2 = Sampling(1.0, top_k=2)
Propose = Callable[[Sequence[int], int], Proposal]


# --- one cause each ------------------------------------------------------------------------------------


def without_two_letters(prefix: Sequence[int], position: int) -> Proposal:
    q = support(TrimmedToy(TARGET, {0, 2}).logits(prefix), OPEN, 64)
    kept = q.probs > 0
    q = Support(q.ids[kept], q.probs[kept])
    return Proposal(q, DraftEvidence(vocabulary=q.ids))


def most_probable(prefix: Sequence[int], position: int) -> Proposal:
    own = support(TARGET.logits(prefix), OPEN, 64)
    return Proposal(own, DraftEvidence(own=own), chosen=True)


def other_model(prefix: Sequence[int], position: int) -> Proposal:
    return Proposal(support(DRAFT.logits(prefix), OPEN, 64))


def right_at_first(prefix: Sequence[int], position: int) -> Proposal:
    return (other_model if position else exactly(TARGET))(prefix, position)


KNOWN: dict[str, tuple[Propose, Sampling, Rule, Cause]] = {
    "another model": (other_model, OPEN, "token", "irreducible"),
    "another model, block by block": (other_model, OPEN, "block", "irreducible"),
    "the target without two letters": (without_two_letters, OPEN, "token", "vocabulary"),
    "the target without two letters, block by block": (without_two_letters, OPEN, "block", "vocabulary"),
    "the target without its filter": (exactly(TARGET), TOP_2, "token", "filters"),
    "the target's most probable token": (most_probable, OPEN, "token", "greedy"),
    "the target, matched": (exactly(TARGET), OPEN, "match", "rule"),
    "the target, by a threshold": (other_model, OPEN, "typical", "rule"),
    "another model from the second token on": (right_at_first, OPEN, "token", "position"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_run_with_one_cause_has_that_cause_alone(name: str) -> None:
    propose, sampling, rule, cause = KNOWN[name]
    found = autopsy_of(events(Proposing(propose), sampling, rule))

    assert shares(found) == {cause: pytest.approx(1.0, abs=1e-6)}
    assert found.rejected > 20
    (only,) = [one for one in found.causes if one.cause == cause]
    assert only.tokens == found.rejected
    assert len(only.examples) == 3
    assert only.low == pytest.approx(1.0)


@pytest.mark.parametrize("name", KNOWN)
def test_about_as_many_are_rejected_as_expected(name: str) -> None:
    """A round rejects at most one token of a chain: its variance is at most that of a coin of the same mean."""
    propose, sampling, rule, _ = KNOWN[name]
    found = autopsy_of(events(Proposing(propose), sampling, rule, tokens=1500, seed=3))

    assert abs(found.rejected - found.expected) < 5 * math.sqrt(found.rounds / 4)


def test_deeper_than_the_head_was_trained_is_a_cause_of_its_own() -> None:
    card = HeadInfo(drafter="toy", file="toy.safetensors", acceptance=[0.9], depth=1)
    found = autopsy_of(events(Proposing(right_at_first), OPEN, heads=[card]))
    other = autopsy_of(events(Proposing(right_at_first), OPEN, heads=[card.model_copy(update={"drafter": "another"})]))

    assert shares(found) == {"depth": pytest.approx(1.0)}
    assert shares(other) == {"position": pytest.approx(1.0)}


def test_at_temperature_0_a_token_outside_the_vocabulary_is_the_vocabularys() -> None:
    def propose(prefix: Sequence[int], position: int) -> Proposal:
        q = support(TARGET.logits(prefix)[:3], Sampling(), 64)
        return Proposal(q, DraftEvidence(vocabulary=np.arange(3, dtype=np.int32)), chosen=True)

    found = autopsy_of(events(Proposing(propose), Sampling()))
    wanted = [EVENT.validate_python(e.model_dump()) for e in events(Proposing(propose), Sampling())[1:]]
    outside = [e for e in wanted if isinstance(e, VerifyResult) and e.status == "resampled" and e.token_id >= 3]

    assert shares(found) == {"vocabulary": pytest.approx(1.0)}
    assert len(outside) == found.rejected > 0


def test_the_drafters_record_what_they_could_have_proposed() -> None:
    """The same cause from the real drafter, with a trimmed draft model."""
    found = autopsy_of(events(model_drafter(TrimmedToy(TARGET, {0, 2}), TARGET), OPEN))

    assert shares(found)["vocabulary"] == pytest.approx(1.0, abs=1e-6)


# --- several causes ----------------------------------------------------------------------------------


def test_a_choice_that_accepts_more_than_a_draw_has_a_negative_share() -> None:
    """A flat q over a peaked p: its most probable token is accepted more often than a drawn one."""

    def propose(prefix: Sequence[int], position: int) -> Proposal:
        p = support(TARGET.logits(prefix), OPEN, 64)
        flat = Support(p.ids, 0.9 / len(p.ids) + 0.1 * p.probs)
        return Proposal(flat, DraftEvidence(own=flat), chosen=True)

    drawn_from = autopsy_of(events(Proposing(propose), Sampling(0.3)))
    found = {one.cause: one for one in drawn_from.causes}
    assert (found["greedy"].share or 0.0) < 0.0
    assert (found["irreducible"].share or 0.0) > 1.0
    assert (found["greedy"].gain or 0.0) < 0.0


def test_a_gain_is_what_the_run_without_the_cause_has() -> None:
    with_cause = autopsy_of(events(Proposing(most_probable), OPEN, tokens=3000))
    greedy = next(one for one in with_cause.causes if one.cause == "greedy")

    assert greedy.gain is not None
    expected = (with_cause.tokens_per_round or 0.0) + greedy.gain
    without = of_rounds(events(Proposing(exactly(TARGET)), OPEN, tokens=3000))
    assert without == pytest.approx(4.0, abs=0.01)
    assert expected == pytest.approx(without, abs=0.15)


def of_rounds(run: list[Event]) -> float:
    done = run[-1]
    assert isinstance(done, Done)
    return done.total_tokens / done.total_rounds


def test_a_run_that_rejects_nothing_has_no_cause() -> None:
    found = autopsy_of(events(Proposing(exactly(TARGET)), OPEN))

    assert (found.rejected, shares(found)) == (0, {})


# --- broken twins ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "forget"),
    [
        ("the target without two letters", {"uncovered": 0.0}),
        ("the target without its filter", {"filtered": 0.0}),
        ("the target's most probable token", {"shared": None}),
        ("the target, matched", {"shared": None}),
    ],
)
def test_without_a_part_of_the_record_the_cause_is_another(name: str, forget: dict[str, float | None]) -> None:
    """What each number of the record is for: forgotten, the rejections are put down to something else."""
    propose, sampling, rule, cause = KNOWN[name]
    run = events(Proposing(propose), sampling, rule)
    broken = [_forgetting(event, forget) for event in run]

    assert shares(autopsy_of(broken)).get(cause, 0.0) < 0.5


def _forgetting(event: Event, forget: dict[str, float | None]) -> Event:
    if not isinstance(event, VerifyResult) or event.overlap is None:
        return event
    values = {name: event.overlap.accepted if value is None else value for name, value in forget.items()}
    return event.model_copy(update={"overlap": event.overlap.model_copy(update=values)})


# --- what a trace may lack ---------------------------------------------------------------------------


def test_without_distributions_the_rejections_are_counted_and_the_lack_is_named() -> None:
    found = autopsy_of(events(Proposing(other_model), OPEN, evidence=False))

    assert shares(found) == {"unknown": pytest.approx(1.0)}
    assert str(found.tested) in found.missing[0]


def test_a_greedy_run_needs_no_distributions() -> None:
    found = autopsy_of(events(model_drafter(DRAFT, TARGET), Sampling(), evidence=False))

    assert set(shares(found)) <= {"irreducible", "position"}
    assert found.rejected > 20
    assert found.expected == found.rejected


def test_a_run_without_draft_has_no_autopsy() -> None:
    assert autopsy(events(Proposing(other_model), OPEN, depth=0, tokens=20)) is None
    assert autopsy([]) is None


def test_a_run_that_was_cut_off_anywhere_is_read_up_to_its_last_whole_round() -> None:
    run = events(Proposing(other_model), OPEN, tokens=30)
    ends = [place + 1 for place, event in enumerate(run) if isinstance(event, Metrics)]
    for end in range(ends[0], len(run)):
        last = max(place for place in ends if place <= end)
        assert autopsy(run[:end]) == autopsy(run[:last])


def test_several_runs_count_as_one() -> None:
    first, second = (events(Proposing(other_model), OPEN, seed=seed, tokens=60) for seed in (1, 2))
    both = autopsy_of([*first, *second])

    assert both.tested == autopsy_of(first).tested + autopsy_of(second).tested
    assert both.expected == pytest.approx(autopsy_of(first).expected + autopsy_of(second).expected)


def test_trees_are_explained_too() -> None:
    found = autopsy_of(events(model_drafter(DRAFT, TARGET), OPEN, nodes=6))

    assert set(shares(found)) <= {"irreducible", "position"}
    assert abs(found.rejected - found.expected) < 5 * math.sqrt(found.tested / 4)
    assert all(cause.gain is None for cause in found.causes)


# --- sums, intervals, examples -----------------------------------------------------------------------


def test_the_expectation_is_one_minus_the_overlap_of_the_distributions() -> None:
    run = events(Proposing(other_model), OPEN, depth=1, tokens=40)
    by_hand, prefix = 0.0, list[int]()
    done = run[-1]
    assert isinstance(done, Done)
    prefix = [0, 1]
    for event in run:
        if isinstance(event, VerifyResult) and event.position == 0 and event.node == 0:
            p = distribution(TARGET.logits(prefix), OPEN).dense(5)
            q = distribution(DRAFT.logits(prefix), OPEN).dense(5)
            by_hand += 1.0 - float(np.minimum(p, q).sum())
        if isinstance(event, VerifyResult) and event.final_token is not None:
            prefix.append(event.token_id)

    assert autopsy_of(run).expected == pytest.approx(by_hand)


def test_an_interval_shrinks_with_more_rounds_and_holds_the_share() -> None:
    def width(tokens: int) -> float:
        found = autopsy_of(events(Proposing(mixed), OPEN, tokens=tokens))
        vocabulary = next(one for one in found.causes if one.cause == "vocabulary")
        assert vocabulary.low is not None
        assert vocabulary.high is not None
        assert vocabulary.low < (vocabulary.share or 0.0) < vocabulary.high
        return vocabulary.high - vocabulary.low

    assert width(1600) < 0.75 * width(100)
    few = autopsy_of(events(Proposing(mixed), OPEN, tokens=8))
    assert all(cause.low is None for cause in few.causes)


def mixed(prefix: Sequence[int], position: int) -> Proposal:
    q = support(DRAFT.logits(prefix)[:3], OPEN, 64)
    return Proposal(q, DraftEvidence(vocabulary=q.ids))


def test_examples_quote_the_text_and_what_took_the_tokens_place() -> None:
    run = events(Proposing(mixed), OPEN, tokens=60)
    done = run[-1]
    assert isinstance(done, Done)
    for cause in autopsy_of(run).causes:
        for example in cause.examples:
            assert example.chosen is not None
            assert example.before + example.chosen.removesuffix("<end>") in done.generated_text
            assert example.draft_prob is not None


def test_the_parts_of_a_test_add_up_whatever_the_numbers() -> None:
    rng = np.random.default_rng(0)
    for rule in ("token", "block", "match", "typical"):
        for _ in range(200):
            reach, accepted, shared, uncovered, filtered = rng.random(5)
            overlap = OverlapInfo(
                reach=reach, accepted=accepted * reach, shared=shared * reach, uncovered=uncovered, filtered=filtered
            )
            parts = parts_of(overlap, rule, drawn=True)  # type: ignore[arg-type]
            assert sum(parts.values()) == pytest.approx(overlap.reach - overlap.accepted)


def test_the_last_event_of_a_run_has_the_autopsy() -> None:
    run = events(Proposing(other_model), OPEN, tokens=60)
    *others, done = followed(run)

    assert others == run[:-1]
    assert isinstance(done, Done)
    assert done.autopsy == autopsy(run)
    assert EVENT.validate_json(done.model_dump_json()) == done


def test_a_rejection_of_no_probability_is_not_explained() -> None:
    gathered = Rejections()
    for event in events(Proposing(other_model), OPEN, tokens=30):
        gathered.add(event)
    test = next(test for round in gathered.rounds for test in round.tests if test.rejected)

    assert shares_of(test._replace(parts={"irreducible": 0.0})) == {"unknown": 1.0}


def test_a_shorter_draft_is_named_if_it_would_have_been_faster() -> None:
    """Nothing after the first token is accepted, and every drafted token costs time."""

    def propose(prefix: Sequence[int], position: int) -> Proposal:
        if position == 0:
            return exactly(TARGET)(prefix, position)
        return Proposal(Support(np.array([4], np.int32), np.ones(1)))  # the end token

    run = [_timed(event) for event in events(Proposing(propose), OPEN, depth=4)]
    shorter = autopsy_of(run).shorter

    assert shorter is not None
    assert (shorter.depth, shorter.drafted) == (1, 4)
    assert shorter.tps > shorter.measured_tps
    fast = [_timed(event) for event in events(Proposing(exactly(TARGET)), OPEN, depth=4)]
    assert autopsy_of(fast).shorter is None


def _timed(event: Event) -> Event:
    """A round takes 5 ms for the target and 1 ms for each drafted token, which the toy drafter states."""
    if not isinstance(event, Metrics):
        return event
    return event.model_copy(update={"round_ms": 5.0 + event.round_drafted, "evidence_ms": 0.0})


def test_measured_passes_count_for_a_shorter_draft() -> None:
    """Drafting costs nothing here; a pass over five tokens takes three times as long as one over two."""

    def propose(prefix: Sequence[int], position: int) -> Proposal:
        return (other_model if position else exactly(TARGET))(prefix, position)

    run = [_free(event) for event in events(Proposing(propose), OPEN, depth=4)]
    without = autopsy_of(run).shorter
    began = run[0].model_copy(update={"pass_times": [PassTime(tokens=2, ms=3.0), PassTime(tokens=5, ms=9.0)]})
    with_passes = autopsy_of([began, *run[1:]]).shorter

    assert without is None
    assert with_passes is not None
    assert with_passes.depth == 1


def _free(event: Event) -> Event:
    """Rounds of 9 ms, tokens of no time."""
    if isinstance(event, DraftToken):
        return event.model_copy(update={"draft_time_ms": 0.0})
    return (
        event.model_copy(update={"round_ms": 9.0, "verify_ms": 9.0, "evidence_ms": 0.0})
        if isinstance(event, Metrics)
        else event
    )
