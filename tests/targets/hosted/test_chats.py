"""Endpoints that answer chats only: what they are sent, and what they cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Sampling
from speculatoviz.engine import Change, speculate
from speculatoviz.errors import TargetError
from speculatoviz.policies.fixed import FixedPolicy
from support.hosted import looped, opened, rounds, stand_in
from support.toy_pair import model_drafter, no_clock, pair, request

CONVERSATION = (("system", "a"), ("user", "b"), ("assistant", "c"), ("user", "ab"))
GREEDY = Sampling(0.0)


def test_the_conversation_is_sent_with_its_roles() -> None:
    served = stand_in(completions=False)
    with looped() as loop:
        target = opened(served, loop)
        run = next(rounds(target, GREEDY, 1, conversation=CONVERSATION))

    assert served.requests[-1]["messages"] == [{"role": role, "content": text} for role, text in CONVERSATION]
    assert {round.verdict.exactness for round in run} == {"unverified"}


def test_a_text_that_is_no_chat_is_refused() -> None:
    with looped() as loop, pytest.raises(TargetError, match="answers chats only"):
        next(rounds(opened(stand_in(completions=False), loop), GREEDY, 1))


def test_an_endpoint_that_answers_nothing_is_refused_at_the_start() -> None:
    served = stand_in(completions=False, chats=False)
    with looped() as loop, pytest.raises(TargetError, match="HTTP 404: Not Found"):
        opened(served, loop)


def test_no_draft_can_be_verified_there() -> None:
    with looped() as loop, pytest.raises(TargetError, match="answers conversations only"):
        next(rounds(opened(stand_in(completions=False), loop, mode="match"), GREEDY, 1, conversation=CONVERSATION))


def changed(change: Change) -> tuple[list[Round], int]:
    """The rounds of a run that is changed after its first round, and how many answers were asked for."""
    model, draft = pair(letters=8)
    served = stand_in(model, completions=False)
    drafter = model_drafter(draft, model)
    asked = replace(request(GREEDY, 12, model), conversation=CONVERSATION)
    done = list[Round]()

    def changes() -> Sequence[Change]:
        return [change] if len(done) == 1 else ()

    with looped() as loop:
        target = opened(served, loop)
        before = len(served.requests)
        policy = FixedPolicy(drafter.name, 1)
        for step in speculate(asked, target, {drafter.name: drafter}, policy, seeded(0), no_clock, changes):
            if isinstance(step, Round):
                done.append(step)
    return done, len(served.requests) - before


def test_another_depth_does_not_begin_another_answer() -> None:
    plain, asked_once = changed(Change())
    deeper, asked = changed(Change(depth=3))

    assert (asked_once, asked) == (1, 1)
    assert [t for r in deeper for t in r.emitted] == [t for r in plain for t in r.emitted]
    assert deeper[2].plan.depth == 3


def test_another_temperature_within_an_answer_is_refused() -> None:
    with pytest.raises(TargetError, match="cannot be continued with another sampling"):
        changed(Change(temperature=0.7))
