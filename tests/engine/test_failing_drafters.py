"""A drafter that fails costs time and never the run; a target that fails ends it in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Drafted, Ended
from speculatoviz.core.types import Draft, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.engine import Change, Step, decode, speculate
from speculatoviz.errors import ContextFullError, NotFiniteError
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import RunWarning
from speculatoviz.telemetry.narrator import Narrator
from support.toy_pair import FixedDrafter, model_drafter, no_clock, pair, request

TOKENS = 12
pytestmark = pytest.mark.filterwarnings("ignore:invalid value")


class Damaged(ToyModel):
    """Computes NaN from pass `good_passes` on."""

    def __init__(self, good_passes: int) -> None:
        super().__init__(1, ALPHABET[:4], mix=(2, 0.5))
        self._left = good_passes

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self._left -= 1
        rows = super().forward(feeds)
        return rows if self._left >= 0 else [Rows(np.full_like(row.logits, np.nan)) for row in rows]


def model(good_passes: int) -> Drafter:
    return model_drafter(Damaged(good_passes), pair()[0])


def mixture(good_passes: int) -> Drafter:
    return MixtureDrafter([(1.0, model_drafter(Damaged(good_passes), pair()[0]))], no_clock)


def multi(good_passes: int) -> Drafter:
    return MultiDrafter([NgramDrafter(1, 2), model_drafter(Damaged(good_passes), pair()[0])])


def hybrid(good_passes: int) -> Drafter:
    return HybridDrafter([NgramDrafter(2, 2)], model_drafter(Damaged(good_passes), pair()[0]))


def steps(
    drafter: Drafter, asked: Request, changes: Callable[[], Sequence[Change]] = tuple, depth: int = 3
) -> list[Step]:
    target = LocalTarget(pair()[0], 64, no_clock)
    drafters = {drafter.name: drafter, "fixed": FixedDrafter([0, 1, 2])}
    policy = FixedPolicy(drafter.name, depth, nodes=5)
    return list(speculate(asked, target, drafters, policy, seeded(3), no_clock, changes))


def plain(asked: Request) -> list[int]:
    rounds = decode(asked, LocalTarget(pair()[0], 64, no_clock), {}, FixedPolicy("none", 0), seeded(3), no_clock)
    return [token for round in rounds for token in round.emitted]


def asked(sampling: Sampling) -> Request:
    return replace(request(sampling, TOKENS, pair()[0], ignore_eos=True), seed=3)


@pytest.mark.parametrize("good_passes", [0, 1, 4])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.8, top_k=3)])
@pytest.mark.parametrize("make", [model, mixture, multi, hybrid])
def test_a_draft_model_that_computes_nan_is_left_out(
    make: Callable[[int], Drafter], sampling: Sampling, good_passes: int
) -> None:
    taken = steps(make(good_passes), asked(sampling))
    rounds = [step for step in taken if isinstance(step, Round)]
    drafts = [step for step in taken if isinstance(step, Drafted)]

    assert isinstance(taken[-1], Ended)
    assert taken[-1].finish_reason == "length"
    assert sum(len(round.emitted) for round in rounds) == TOKENS
    warned = [step.round for step in drafts if step.warning is not None]
    assert len(warned) == 1
    assert all(not len(round.draft) and round.plan.depth == 0 for round in rounds if round.index > warned[0])
    if sampling.greedy:
        assert [token for round in rounds for token in round.emitted] == plain(asked(sampling))


def test_the_warning_is_an_event_with_two_sentences() -> None:
    target = pair()[0]
    events = list(Narrator("r", target.tokenizer, None, no_clock).events(steps(model(2), asked(Sampling(1.0)))))
    [warning] = [event for event in events if isinstance(event, RunWarning)]
    assert warning.message.startswith("The drafter model failed, and the run goes on without it. ")
    assert "not finite" in warning.message
    assert warning.hint


class FailingToBegin(FixedDrafter):
    name = "failing"
    begins = 0

    def begin(self, request: Request) -> None:
        self.begins += 1
        raise ContextFullError("The context is full.", "Make room.")


def test_a_drafter_that_cannot_begin_is_left_out() -> None:
    drafter = FailingToBegin([0])
    taken = steps(drafter, asked(Sampling(0.0)))
    assert [token for step in taken if isinstance(step, Round) for token in step.emitted] == plain(asked(Sampling(0.0)))
    assert drafter.begins == 1


class FailingOnce(FixedDrafter):
    name = "failing"
    calls = 0

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        self.calls += 1
        if self.calls == 1:
            raise NotFiniteError
        return super().draft(prefix, round, plan, chance)


def test_a_user_can_choose_it_again() -> None:
    drafter, rounds = FailingOnce([0, 1, 2]), iter(range(100))

    def changes() -> list[Change]:
        return [Change(drafter="failing")] if next(rounds) == 2 else []

    taken = steps(drafter, asked(Sampling(0.0)), changes)
    depths = [step.plan.depth for step in taken if isinstance(step, Drafted)]
    assert depths[:3] == [3, 0, 3]
    assert drafter.calls > 1


class FailingAhead(FixedDrafter):
    """Drafts, and fails at drafting ahead."""

    name = "ahead"

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        raise NotFiniteError


class Slow(LocalTarget):
    """Reports that its verdict is not there yet."""

    def submit(self, draft: Draft):  # type: ignore[no-untyped-def]
        pending = super().submit(draft)
        pending.done = lambda: False  # type: ignore[method-assign]
        return pending


def test_a_failure_to_draft_ahead_changes_nothing() -> None:
    drafter, wanted = FailingAhead([0, 1]), asked(Sampling(0.0))
    target = Slow(pair()[0], 64, no_clock)
    rounds = decode(wanted, target, {"ahead": drafter}, FixedPolicy("ahead", 2), seeded(3), no_clock)
    assert [token for round in rounds for token in round.emitted] == plain(wanted)
    assert any(len(round.draft) for round in rounds)


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)])
def test_a_target_that_computes_nan_ends_the_run_in_words(sampling: Sampling) -> None:
    target = LocalTarget(Damaged(3), 64, no_clock)
    run = speculate(asked(sampling), target, {}, FixedPolicy("none", 0), seeded(3), no_clock)
    with pytest.raises(NotFiniteError, match="not finite") as raised:
        list(run)
    assert raised.value.hint
