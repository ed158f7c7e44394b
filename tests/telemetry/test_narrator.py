"""From steps to events: their order, their stamps and the text they carry."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Changed, Drafted, Ended
from speculatoviz.core.types import Exactness, Limits, Request, Sampling, Scores
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import Step, speculate
from speculatoviz.models.runtimes.toy import ToyModel, ToyTokenizer
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import EVENT, Done, DraftToken, Event, Metrics, Updated, VerifyResult
from speculatoviz.telemetry.narrator import Narrator
from support.rounds import A, B, C, make_round, times

LETTERS = (b"a", b"b", b"c", b"d")
E_ACUTE = "é".encode()
HALVES = (E_ACUTE[:1], E_ACUTE[1:], b"x", "語".encode())  # the first two tokens are halves of one character


class Clock:
    """Each look takes a millisecond."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


def tell(*steps: Step, baseline_tps: float | None = None) -> list[Event]:
    return list(Narrator("r", ToyTokenizer(LETTERS), baseline_tps, Clock()).events(steps))


def told(round: Round) -> list[Event]:
    return tell(Drafted(round.index, round.plan, round.draft), round)


def kinds(events: list[Event]) -> list[str]:
    return [e.status if isinstance(e, VerifyResult) else e.type for e in events]


@pytest.mark.parametrize(
    ("drafted", "accepted", "expected"),
    [
        (0, 0, ["plain"]),
        (1, 0, ["rejected", "resampled"]),
        (2, 2, ["accepted", "accepted", "bonus"]),
        (4, 1, ["accepted", "rejected", "discarded", "discarded", "resampled"]),
    ],
)
def test_a_round_is_told_from_draft_to_metrics(drafted: int, accepted: int, expected: list[str]) -> None:
    events = told(make_round(drafted, accepted))

    assert kinds(events) == ["draft_token"] * drafted + expected + ["metrics"]
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert {e.run for e in events} == {"r"}


def test_a_rejected_token_and_its_replacement_are_two_results() -> None:
    events = told(make_round(3, 1, tokens=(A, B, C)))
    rejected, resampled = (
        next(e for e in events if isinstance(e, VerifyResult) and e.status == status)
        for status in ("rejected", "resampled")
    )

    assert (rejected.node, rejected.position, rejected.draft_token, rejected.final_token) == (1, 1, "b", None)
    assert (rejected.acceptance_prob, rejected.uniform, rejected.text) == (0.25, 0.75, "")
    assert (resampled.node, resampled.position, resampled.draft_token, resampled.final_token) == (None, 1, None, "a")
    assert (resampled.acceptance_prob, resampled.uniform, resampled.text) == (None, None, "a")
    assert [t.token for t in resampled.residual_top_tokens] == ["b"]
    assert rejected.residual_top_tokens == []


def test_what_was_never_tested_has_no_figures() -> None:
    discarded = [e for e in told(make_round(4, 0)) if isinstance(e, VerifyResult) and e.status == "discarded"]

    assert [e.position for e in discarded] == [1, 2, 3]
    for event in discarded:
        assert (event.target_prob, event.draft_prob, event.acceptance_prob, event.uniform) == (None,) * 4
        assert (event.target_logprob, event.final_token, event.text) == (None, None, "")


def test_accepted_tokens_behind_the_end_of_the_run_are_discarded() -> None:
    events = told(make_round(4, 4, kept=2))

    assert kinds(events)[4:] == ["accepted", "accepted", "discarded", "discarded", "metrics"]
    metrics = events[-1]
    assert isinstance(metrics, Metrics)
    assert (metrics.round_drafted, metrics.round_accepted, metrics.round_emitted) == (4, 2, 2)


def test_draft_tokens_name_their_place_and_what_else_was_likely() -> None:
    scores = Scores(-0.7, 1.2, ((B, -0.7), (C, -1.5)))
    events = [e for e in told(make_round(3, 0, scores=scores)) if isinstance(e, DraftToken)]

    assert [(e.node, e.parent, e.position, e.token) for e in events] == [
        (0, None, 0, "a"),
        (1, 0, 1, "b"),
        (2, 1, 2, "c"),
    ]
    assert {(e.logprob, e.entropy, e.source) for e in events} == {(-0.7, 1.2, "hand")}
    assert [(t.token, t.token_id, t.logprob) for t in events[0].top_tokens] == [("b", B, -0.7), ("c", C, -1.5)]


def test_what_has_no_scores_is_told_as_unknown() -> None:
    for event in told(make_round(2, 1)):
        if isinstance(event, DraftToken):
            assert (event.logprob, event.entropy, event.top_tokens, event.covered_mass) == (None, None, [], None)
        if isinstance(event, VerifyResult):
            assert (event.target_logprob, event.entropy, event.target_top_tokens) == (None, None, [])


def test_the_times_of_a_round_add_up() -> None:
    metrics = told(make_round(2, 1, measured=times(3.0, 7.0, 11.0)))[-1]

    assert isinstance(metrics, Metrics)
    parts = metrics.draft_ms + metrics.verify_ms + metrics.network_ms + metrics.evidence_ms + metrics.other_ms
    assert metrics.round_ms == parts == 24.0


def test_a_run_ends_with_its_sums() -> None:
    rounds = [make_round(2, 2, index=0), make_round(2, 0, index=1), make_round(0, 0, index=2)]
    done = tell(*rounds, Ended("length", "!"), baseline_tps=100.0)[-1]

    assert isinstance(done, Done)
    assert (done.total_tokens, done.total_accepted, done.total_drafted, done.total_rounds) == (5, 2, 4, 3)
    assert (done.token_ids, done.generated_text, done.text_tail) == ([A, B, A, A, A], "abaaa!", "!")
    assert done.metrics.speedup == done.metrics.overall_speedup == pytest.approx(5 / 0.03 / 100)


def test_the_first_token_time_is_taken_once() -> None:
    first, second = (e for e in tell(make_round(1, 1), make_round(1, 1, index=1)) if isinstance(e, Metrics))

    assert first.ttft_ms is not None
    assert first.ttft_ms == second.ttft_ms


def test_a_cancelled_run_may_end_behind_a_draft_that_was_never_tested() -> None:
    round = make_round(2, 1)
    events = tell(Drafted(0, round.plan, round.draft), Ended("cancelled", ""))

    assert kinds(events) == ["draft_token", "draft_token", "done"]
    assert isinstance(events[-1], Done)
    assert (events[-1].total_drafted, events[-1].metrics.ttft_ms) == (0, None)


def test_a_change_names_the_round_it_begins_with() -> None:
    [event] = tell(Changed(7, Plan("ngram", 2), Sampling(0.5, top_k=3), Exactness("exact", "why")))

    assert isinstance(event, Updated)
    assert (event.round, event.k, event.drafter) == (7, 2, "ngram")
    assert (event.sampling.temperature, event.sampling.top_k) == (0.5, 3)
    assert (event.exactness.label, event.exactness.reason) == ("exact", "why")


def run(pieces: tuple[bytes, ...], seed: int, limits: Limits, k: int = 3) -> list[Event]:
    """A sampled run of a toy pair over these pieces."""
    target, draft = ToyModel(0, pieces), ToyModel(0, pieces, mix=(7, 0.5))
    local = LocalTarget(target, 256, Clock())
    drafter = ModelDrafter(draft, target.tokenizer, 256, Clock())
    request = Request((0, 1, 2), Sampling(1.0), limits, seed=seed)
    steps = speculate(request, local, {"model": drafter}, FixedPolicy("model", k), seeded(seed), Clock())
    return list(Narrator("r", target.tokenizer, None, Clock()).events(steps))


def emitted(events: list[Event]) -> Iterator[VerifyResult]:
    return (e for e in events if isinstance(e, VerifyResult) and e.final_token is not None)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(0, 4))
def test_characters_that_arrive_in_halves_are_shown_once_whole(seed: int, k: int) -> None:
    events = run(HALVES, seed, Limits(24, ignore_eos=True), k)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    raw = b""

    for event in emitted(events):
        piece = HALVES[event.token_id] if event.token_id < len(HALVES) else b""
        assert event.text == decoder.decode(piece)
        raw += piece
    done = events[-1]
    assert isinstance(done, Done)
    assert done.generated_text == raw.decode("utf-8", "replace")
    assert "".join(e.text for e in emitted(events)) + done.text_tail == done.generated_text


def test_half_a_character_is_named_by_its_bytes_and_shows_nothing() -> None:
    events = run(HALVES, 3, Limits(60, ignore_eos=True))
    results = list(emitted(events))
    pairs = [(one, two) for one, two in pairwise(results) if (one.token_id, two.token_id) == (0, 1)]

    assert pairs
    for one, two in pairs:
        assert (one.final_token, two.final_token) == ("\\xc3", "\\xa9")
        assert one.text in {"", "�"}  # or what an earlier half left behind
        assert two.text == "é"


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), stop=st.text("abcd", min_size=1, max_size=4), k=st.integers(0, 4))
def test_text_that_may_begin_a_stop_string_is_kept_back(seed: int, stop: str, k: int) -> None:
    events = run(LETTERS, seed, Limits(20, stop=(stop,), ignore_eos=True), k)
    shown, raw = "", ""

    for event in emitted(events):
        raw += LETTERS[event.token_id].decode() if event.token_id < len(LETTERS) else ""
        shown += event.text
        assert raw.startswith(shown)
        assert stop not in shown
        longest = max(n for n in range(len(stop)) if raw.endswith(stop[:n]) or n == 0)
        if stop not in raw:
            assert shown == raw[: len(raw) - longest]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.generated_text == raw.partition(stop)[0]
    assert done.finish_reason == ("stop" if stop in raw else "length")


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(0, 5))
def test_every_event_survives_the_wire(seed: int, k: int) -> None:
    for event in run(HALVES, seed, Limits(12), k):
        text = event.model_dump_json()
        assert "NaN" not in text
        assert "Infinity" not in text
        assert EVENT.validate_json(text) == event
