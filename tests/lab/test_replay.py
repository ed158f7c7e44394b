"""A recorded output, decoded again without models, has the rounds of real runs: every one at T=0, in law above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.types import Rule, Sampling
from speculatoviz.engine import decode
from speculatoviz.lab import replay as replaying
from speculatoviz.lab.replay import Replay, replay
from speculatoviz.lab.round_costs import costs_of
from speculatoviz.lab.run_record import Chain, RunRecord
from speculatoviz.policies.adaptive import AdaptivePolicy
from speculatoviz.policies.base import Policy
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry import record as recording
from support import records, toy_session
from support.enumerate import Script
from support.toy_pair import model_drafter, no_clock, pair, request

DRAFTERS = ["model", "ngram", "suffix", "mixture", "hybrid"]
Counts = tuple[int, ...]
Law = dict[tuple[int, ...], dict[Counts, float]]  # of the accepted tokens of each round, given the output


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    loaded = toy_session.repetitive(tmp_path_factory.mktemp("toys"))
    yield loaded
    loaded.close()


def again(record: RunRecord, policy: Policy, rule: Rule = "token") -> Replay:
    return replay(record, policy, rule, costs_of(record), seeded(0))


def triples(found: Replay) -> list[tuple[int, int, int]]:
    return [(round.drafted, round.accepted, round.emitted) for round in found.rounds]


# --- greedy: real runs of the toy pair ------------------------------------------------------------------


@pytest.mark.parametrize("drafter", DRAFTERS)
def test_every_depth_of_a_greedy_run_is_exact(session: Session, drafter: str) -> None:
    record = records.recorded(session, drafter=drafter, k=3, max_tokens=40)
    for depth in (0, 1, 3, 8):
        real = toy_session.run(session, drafter=drafter, k=depth, max_tokens=40)
        found = again(record, FixedPolicy(drafter, depth))
        assert triples(found) == records.counts(real), (drafter, depth)
        assert found.exact


@pytest.mark.parametrize("rule", ["token", "block", "match"])
def test_rules_and_the_depth_of_the_recorded_run_do_not_matter_at_temperature_0(session: Session, rule: Rule) -> None:
    plain = records.recorded(session, drafter="model", k=0, max_tokens=40)
    real = toy_session.run(session, drafter="model", k=4, rule=rule, max_tokens=40)
    assert triples(again(plain, FixedPolicy("model", 4), rule)) == records.counts(real)


def test_a_policy_that_looks_at_accepted_tokens_is_exact(session: Session) -> None:
    record = records.recorded(session, drafter="model", k=2, max_tokens=40)
    real = toy_session.run(session, drafter="model", k=8, policy="adaptive", max_tokens=40)
    assert triples(again(record, AdaptivePolicy("model", 4, 8))) == records.counts(real)


def test_an_output_that_ends_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The last round is cut at the end token, whether it was drafted or not."""
    session = toy_session.load(tmp_path_factory.mktemp("toys"))
    ended = 0
    for prompt in ("a", "once", "upon a", "time", "the end"):
        record = records.recorded(session, prompt=prompt, drafter="model", max_tokens=200)
        ended += record.finish_reason == "stop"
        for depth in (1, 3, 7):
            real = toy_session.run(session, prompt=prompt, drafter="model", k=depth, max_tokens=200)
            assert triples(again(record, FixedPolicy("model", depth))) == records.counts(real)
    session.close()
    assert ended > 0


def over_counted(probs: list[float], chance: Chance) -> int:
    return len(probs)


def never_whole(probs: list[float], chance: Chance) -> int:
    return min(replaying_honest(probs, chance), max(0, len(probs) - 1))


replaying_honest = replaying.accepted_count


@pytest.mark.parametrize("twin", [over_counted, never_whole])
def test_a_replay_that_counts_wrongly_is_caught(
    session: Session, twin: Callable[[list[float], Chance], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "accepted_count", twin)
    with pytest.raises(AssertionError):
        test_every_depth_of_a_greedy_run_is_exact(session, "model")


def test_a_record_that_is_one_token_late_is_caught(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = recording.text_probs
    monkeypatch.setattr(recording, "text_probs", lambda draft, text: honest(draft, text[1:]))
    with pytest.raises(AssertionError):
        test_every_depth_of_a_greedy_run_is_exact(session, "model")


# --- sampled: every branch ------------------------------------------------------------------------------

TARGET, DRAFT = pair(letters=2)
FILTERED = "T=0.7, top-p"
SAMPLINGS = {"T=1": Sampling(1.0), FILTERED: Sampling(0.7, top_p=0.8)}


def given_the_output(outcomes: list[tuple[float, tuple[tuple[int, ...], Counts]]]) -> Law:
    found: Law = defaultdict(lambda: defaultdict(float))
    for prob, (text, accepted) in outcomes:
        found[text][accepted] += prob
    return {text: {accepted: prob / sum(law.values()) for accepted, prob in law.items()} for text, law in found.items()}


def law_of_runs(rule: Rule, sampling: Sampling, depth: int, tokens: int) -> Law:
    """Of the whole engine, over every draft and every verdict."""
    script = Script()
    asked = replace(request(sampling, tokens, TARGET, ignore_eos=True), rule=rule)

    def experiment() -> tuple[tuple[int, ...], Counts]:
        target = LocalTarget(TARGET, 64, no_clock, lambda seed: script.source())
        drafter = model_drafter(DRAFT, TARGET)
        rounds = decode(asked, target, {"model": drafter}, FixedPolicy("model", depth), script.source(), no_clock)
        text = tuple(token for round in rounds for token in round.emitted)
        return text, tuple(round.accepted for round in rounds)

    return given_the_output(list(script.outcomes(experiment)))


def law_of_replays(rule: Rule, sampling: Sampling, depth: int, text: tuple[int, ...]) -> dict[Counts, float]:
    """Of the replays of one output, over every test."""
    script, record = Script(), records.written(TARGET, DRAFT, text, depth, sampling)
    costs = costs_of(record)

    def experiment() -> tuple[tuple[int, ...], Counts]:
        found = replay(record, FixedPolicy("model", depth), rule, costs, script.source())
        return text, tuple(round.accepted for round in found.rounds)

    return given_the_output(list(script.outcomes(experiment)))[text]


def largest_error(rule: Rule, sampling: Sampling, depth: int = 2, tokens: int = 3) -> float:
    errors = [0.0]
    for text, law in law_of_runs(rule, sampling, depth, tokens).items():
        found = law_of_replays(rule, sampling, depth, text)
        errors += [abs(law.get(accepted, 0.0) - found.get(accepted, 0.0)) for accepted in law.keys() | found.keys()]
    return max(errors)


@pytest.mark.parametrize(
    ("rule", "sampling"),
    [("token", "T=1"), ("block", "T=1"), ("match", "T=1"), ("token", FILTERED), ("block", FILTERED)],
)
def test_given_a_sampled_output_the_rounds_have_the_law_of_real_runs(rule: Rule, sampling: str) -> None:
    depth = 1 if rule == "match" else 2  # whose places do not depend on each other
    assert largest_error(rule, SAMPLINGS[sampling], depth) < 1e-9


def drawn_by_q(self: RunRecord, position: int, depth: int, rule: Rule) -> Chain:
    """Takes q of the output's token for its acceptance under every rule."""
    return honest_chain(self, position, depth, "match")


def without_weight(self: RunRecord, position: int, depth: int, rule: Rule) -> Chain:
    """Forgets the weight of the prefix."""
    return honest_chain(self, position, depth, "token" if rule == "block" else rule)


honest_chain = RunRecord.chain


@pytest.mark.parametrize(("twin", "rule"), [(drawn_by_q, "token"), (without_weight, "block")])
def test_a_wrong_acceptance_is_caught(twin: object, rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunRecord, "chain", twin)
    assert largest_error(rule, SAMPLINGS["T=1"]) > 1e-3
