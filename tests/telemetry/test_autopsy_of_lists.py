"""The causes of rejections from the most probable tokens alone, which is what endpoints show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import DraftEvidence
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.telemetry.autopsy_info import Cause
from speculatoviz.telemetry.events import DraftToken, Event, Metrics, VerifyResult
from speculatoviz.telemetry.parts import TopToken
from support.explained import OPEN, Proposal, Proposing, autopsy_of, events, shares
from support.toy_pair import pair

TARGET, DRAFT = pair()


def listing(prefix: Sequence[int], position: int) -> Proposal:
    """The draft model's most probable token, with no record of the distribution."""
    return Proposal(support(DRAFT.logits(prefix), OPEN, 64), chosen=True)


def _as_an_endpoint(run: list[Event], shown: int) -> list[Event]:
    """What an endpoint that compares tokens leaves: the most probable tokens of both models, no p and q."""
    prefix, drafts, told = [0, 1], list[int](), list[Event]()
    for event in run:
        match event:
            case DraftToken():
                drafts = [*drafts[: event.position], event.token_id]
                told.append(event.model_copy(update={"top_tokens": top(DRAFT, [*prefix, *drafts[:-1]], shown)}))
            case VerifyResult():
                here = top(TARGET, [*prefix, *drafts[: event.position]], shown)
                unknown = dict.fromkeys(["overlap", "target_prob", "acceptance_prob"])
                told.append(event.model_copy(update={**unknown, "target_top_tokens": here}))
            case _:
                told.append(event)
        if isinstance(event, Metrics):
            emitted = [e.token_id for e in told if isinstance(e, VerifyResult) and e.final_token is not None]
            prefix, drafts = [0, 1, *emitted], []
    return told


def top(model: ToyModel, prefix: Sequence[int], count: int) -> list[TopToken]:
    p = distribution(model.logits(prefix), OPEN)
    return [TopToken(token="", token_id=t, logprob=logprob) for t, logprob in p.top(count)]


def truth(run: list[Event]) -> dict[Cause, float]:
    """The same run with both distributions recorded."""

    def recorded(prefix: Sequence[int], position: int) -> Proposal:
        own = support(DRAFT.logits(prefix), OPEN, 64)
        return Proposal(own, DraftEvidence(own=own), chosen=True)

    found = autopsy_of(events(Proposing(recorded), OPEN))
    assert found.tested == autopsy_of(run).tested
    return {cause.cause: cause.expected for cause in found.causes}


def test_all_tokens_of_both_models_give_what_the_distributions_give() -> None:
    run = _as_an_endpoint(events(Proposing(listing), OPEN), 5)
    found = autopsy_of(run)

    exact = truth(run)
    told = {cause.cause: cause.expected for cause in found.causes}
    assert found.expected == pytest.approx(sum(exact.values()))
    assert told["greedy"] == pytest.approx(exact["greedy"])
    assert "unknown" not in told
    assert "estimated" in found.missing[0]


def test_fewer_tokens_leave_a_part_open() -> None:
    run = _as_an_endpoint(events(Proposing(listing), OPEN), 2)
    exact, told = truth(run), {cause.cause: cause.expected for cause in autopsy_of(run).causes}

    differs = exact["irreducible"] + exact.get("position", 0.0)
    assert told["unknown"] > 1.0
    assert told["irreducible"] + told.get("position", 0.0) <= differs + 1e-9
    assert told["irreducible"] + told.get("position", 0.0) + told["unknown"] >= differs - 1e-9


def test_a_list_that_contradicts_itself_is_not_used() -> None:
    run = _as_an_endpoint(events(Proposing(listing), OPEN), 5)
    broken = [
        event.model_copy(update={"top_tokens": event.top_tokens[::-1]}) if isinstance(event, DraftToken) else event
        for event in run
    ]
    assert shares(autopsy_of(broken)) == {"unknown": pytest.approx(1.0)}
