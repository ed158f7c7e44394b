"""Invariants of rounds, limits and caches, for every drafter and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Begun, Changed, Drafted, Ended
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.engine import Change, Step, speculate
from speculatoviz.errors import BadRequestError
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.toy_pair import Factory, FixedDrafter, model_drafter, no_clock, pair

FACTORIES: dict[str, Factory] = {
    "model": model_drafter,
    "ngram": lambda draft, target: NgramDrafter(1, 3),
    "fixed": lambda draft, target: FixedDrafter([0, 3, 1, 2]),
    "empty": lambda draft, target: FixedDrafter([]),
    "end token": lambda draft, target: FixedDrafter([0, 4, 1]),
}

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.integers(0, 6),
    top_p=st.floats(0.05, 1.0),
    min_p=st.floats(0.0, 0.9),
)


class Rig:
    """A toy target with one drafter, whose caches can be looked into."""

    def __init__(self, factory: Factory, context: int = 64) -> None:
        self.model, draft = pair()
        self.target = LocalTarget(self.model, context, no_clock)
        self.drafter = factory(draft, self.model)

    def request(
        self, sampling: Sampling | None = None, max_tokens: int = 20, seed: int = 0, *, ignore_eos: bool = False
    ) -> Request:
        limits = Limits(max_tokens, stop_ids=self.model.tokenizer.eos_ids, ignore_eos=ignore_eos)
        return Request((0, 1, 2), sampling or Sampling(0.0), limits, seed=seed)

    def steps(self, request: Request, depth: int, changes: Sequence[list[Change]] = ()) -> list[Step]:
        waiting = list(changes)
        return list(
            speculate(
                request,
                self.target,
                {self.drafter.name: self.drafter},
                FixedPolicy(self.drafter.name, depth),
                seeded(request.seed),
                no_clock,
                lambda: waiting.pop(0) if waiting else [],
            )
        )


def rounds_of(steps: list[Step]) -> list[Round]:
    return [step for step in steps if isinstance(step, Round)]


def emitted(steps: list[Step]) -> list[int]:
    return [token for round in rounds_of(steps) for token in round.emitted]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(FACTORIES.values())), samplings, st.integers(0, 8), st.integers(1, 25), st.integers(0, 99))
def test_round_invariants(factory: Factory, sampling: Sampling, depth: int, max_tokens: int, seed: int) -> None:
    rig = Rig(factory)
    request = rig.request(sampling, max_tokens, seed=seed)
    ids = list(request.prompt)
    steps = rig.steps(request, depth)
    assert isinstance(steps[0], Begun)
    for step in steps[1:-1]:
        assert isinstance(step, Drafted | Round)
        if isinstance(step, Round):
            check_round(step, depth, rig, ids)
    end = steps[-1]
    assert isinstance(end, Ended)
    output = ids[len(request.prompt) :]
    assert 1 <= len(output) <= max_tokens
    assert not any(token in request.limits.end_ids for token in output[:-1])
    assert (end.finish_reason == "stop") == (output[-1] in request.limits.end_ids)
    assert end.finish_reason in {"stop", "length"}
    shown = "".join(text for round in rounds_of(steps) for text in round.texts) + end.tail
    assert shown == b"".join(rig.model.tokenizer.token_bytes(token) for token in output).decode()


def check_round(round: Round, depth: int, rig: Rig, ids: list[int]) -> None:
    counts = {status: round.count(status) for status in ("accepted", "resampled", "bonus", "plain")}
    assert sum(counts.values()) == len(round.emitted) == len(round.texts)
    assert 1 <= len(round.emitted) <= len(round.draft) + 1 <= depth + 1
    assert counts["plain"] == (len(round.draft) == 0)
    assert counts["bonus"] + counts["resampled"] + counts["plain"] <= 1
    assert round.verdict.path == tuple(range(len(round.verdict.path)))
    ids += round.emitted


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(FACTORIES.values())), samplings, st.integers(0, 6), st.integers(0, 99))
def test_the_target_holds_the_committed_ids_but_the_last(
    factory: Factory, sampling: Sampling, depth: int, seed: int
) -> None:
    rig = Rig(factory)
    request = rig.request(sampling, 20, seed=seed, ignore_eos=True)
    ids = list(request.prompt)
    policy = FixedPolicy(rig.drafter.name, depth)
    drafters = {rig.drafter.name: rig.drafter}
    for step in speculate(request, rig.target, drafters, policy, seeded(seed), no_clock):
        if isinstance(step, Round):
            ids += step.emitted
            assert rig.target.window.ids == ids[:-1]
            assert rig.target.window.context.tokens == ids[:-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
def test_greedy_text_is_the_plain_text(factory: Factory) -> None:
    for seed in range(20):
        plain = Rig(factory)
        plain.model._seed = seed
        fast = Rig(factory)
        fast.model._seed = seed
        request = plain.request(max_tokens=30)
        assert emitted(fast.steps(request, 4)) == emitted(plain.steps(request, 0))


def test_the_same_seed_gives_the_same_tokens() -> None:
    request = Rig(model_drafter).request(Sampling(1.0), 30, seed=7)
    first, again = (emitted(Rig(model_drafter).steps(request, 3)) for _ in range(2))
    other = emitted(Rig(model_drafter).steps(replace(request, seed=8), 3))
    assert first == again != other


def test_evidence_does_not_change_the_tokens() -> None:
    request = Rig(model_drafter).request(Sampling(1.0), 30, seed=3)
    assert emitted(Rig(model_drafter).steps(request, 3)) == emitted(
        Rig(model_drafter).steps(replace(request, evidence=False), 3)
    )


def test_the_context_is_never_overrun() -> None:
    rig = Rig(model_drafter, context=12)
    request = rig.request(max_tokens=100, ignore_eos=True)
    steps = rig.steps(request, 5)
    assert isinstance(steps[-1], Ended)
    assert steps[-1].finish_reason == "context"
    assert len(request.prompt) + len(emitted(steps)) == 12


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers() -> None:
    rig = Rig(model_drafter, context=4)
    request = replace(rig.request(), prompt=(0, 1, 2, 3))
    with pytest.raises(BadRequestError, match=r"4 tokens and the context holds 4"):
        rig.steps(request, 2)


def test_cancelling_stops_before_the_next_pass_and_leaves_the_models_usable() -> None:
    rig = Rig(model_drafter)
    request = rig.request(Sampling(1.0), 30, seed=1, ignore_eos=True)
    whole = emitted(Rig(model_drafter).steps(request, 3))
    calls = iter(range(1000))
    steps = rig.steps(replace(request, cancelled=lambda: next(calls) >= 6), 3)
    assert steps[-1] == Ended("cancelled", "")
    assert emitted(steps) == whole[: len(emitted(steps))]
    assert len(emitted(steps)) < len(whole)
    assert emitted(rig.steps(request, 3)) == whole


def test_closing_the_generator_midway_leaves_the_models_usable() -> None:
    rig = Rig(model_drafter)
    request = rig.request(Sampling(1.0), 30, seed=1)
    policy = FixedPolicy("model", 3)
    running = speculate(request, rig.target, {"model": rig.drafter}, policy, seeded(1), no_clock)
    for _ in range(4):
        next(running)
    running.close()  # type: ignore[attr-defined]
    assert emitted(rig.steps(request, 3)) == emitted(Rig(model_drafter).steps(request, 3))


def test_changes_take_effect_between_rounds_and_are_reported() -> None:
    rig = Rig(model_drafter)
    request = rig.request(Sampling(1.0), 40, seed=5, ignore_eos=True)
    steps = rig.steps(request, 2, [[], [Change(depth=5, temperature=0.0)]])
    changed = [step for step in steps if isinstance(step, Changed)]
    assert [(c.round, c.plan.depth, c.sampling.temperature) for c in changed] == [(1, 5, 0.0)]
    depths = {round.index: round.plan.depth for round in rounds_of(steps)[:-3]}
    assert depths[0] == 2
    assert set(list(depths.values())[1:]) == {5}
    assert all(check.uniform is None for round in rounds_of(steps)[1:] for check in round.verdict.checks)


def test_an_end_token_inside_a_draft_ends_the_run_and_what_follows_is_not_counted() -> None:
    rig = Rig(lambda draft, target: FixedDrafter([4]))
    rig.model.logits = lambda prefix: ToyModel.logits(rig.model, prefix) * 0 + [0, 0, 0, 0, 9]  # type: ignore[method-assign]
    steps = rig.steps(rig.request(), 3)
    (round,) = rounds_of(steps)
    assert round.emitted == (4,)
    assert round.statuses == ("accepted",)
    assert round.texts == ("",)


def test_a_stop_string_ends_the_text_before_it() -> None:
    rig = Rig(model_drafter)
    plain = "".join(text for round in rounds_of(rig.steps(rig.request(max_tokens=12), 0)) for text in round.texts)
    stop = plain[3:5]
    request = rig.request(max_tokens=12)
    steps = Rig(model_drafter).steps(replace(request, limits=replace(request.limits, stop=(stop,))), 3)
    end = steps[-1]
    assert isinstance(end, Ended)
    shown = "".join(text for round in rounds_of(steps) for text in round.texts) + end.tail
    assert end.finish_reason == "stop"
    assert shown == plain[: plain.index(stop)]


def test_the_clock_stands_still_while_the_engine_is_suspended() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    rig = Rig(model_drafter)
    policy = FixedPolicy("model", 3)
    measured: list[float] = []
    for step in speculate(rig.request(), rig.target, {"model": rig.drafter}, policy, seeded(0), clock):
        now[0] += 1000.0  # whoever consumes the events takes its time
        if isinstance(step, Round):
            measured.append(step.times.round_ms)
    assert max(measured) < 1000


def test_an_unknown_drafter_is_named_with_the_known() -> None:
    rig = Rig(model_drafter)
    with pytest.raises(BadRequestError, match="'nobody'"):
        list(speculate(rig.request(), rig.target, {}, FixedPolicy("nobody", 2), seeded(0), no_clock))
