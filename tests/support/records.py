"""Records of toy runs: of a session, and written from the toys' own distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import Rule, Sampling
from speculatoviz.lab.run_record import MeasuredRound, RunRecord, run_record
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Event, Record, Started
from speculatoviz.telemetry.mapping import model_info, sampling_info
from speculatoviz.telemetry.parts import ExactnessInfo
from support import toy_session
from support.toy_pair import PROMPT

ROUND = MeasuredRound(1, 1, 2, 5.0, 20.0, 0.0, 1.0, (5.0,))


def recorded(session: Session, depth: int = 8, **start: Any) -> RunRecord:
    """A run of a session with its record."""
    return run_record(toy_session.run(session, record_depth=depth, **start))


def counts(events: Sequence[Event]) -> list[tuple[int, int, int]]:
    """(drafted, accepted, emitted) of every round of a run."""
    return [(e.round_drafted, e.round_accepted, e.round_emitted) for e in events if e.type == "metrics"]


def written(
    target: ToyModel,
    draft: ToyModel,
    text: Sequence[int],
    depth: int,
    sampling: Sampling,
    rule: Rule = "token",
) -> RunRecord:
    """The record of a text under a draft model, from the toys themselves. Its times are made up."""
    places = [_place(target, draft, text, position, depth, sampling) for position in range(len(text))]
    return RunRecord(
        started=began(target, sampling, len(text), rule),
        depth=depth,
        drafter="model",
        by_prefix=True,
        sampling=sampling,
        finish_reason="length",
        places=tuple(places),
        pass_ms={1: 20.0, 2: 24.0, 3: 30.0, 4: 33.0, 5: 50.0},
        rounds=(ROUND,),
        whole=True,
    )


def began(target: ToyModel, sampling: Sampling, max_tokens: int, rule: Rule) -> Started:
    """The beginning of a run, as far as a record reads it."""
    return Started.model_construct(
        prompt_tokens=len(PROMPT),
        target_model=model_info(target),
        rule=rule,
        sampling=sampling_info(sampling),
        max_tokens=max_tokens,
        exactness=ExactnessInfo(label="exact", reason="It is the toys'."),
    )


def _place(
    target: ToyModel, draft: ToyModel, text: Sequence[int], position: int, depth: int, sampling: Sampling
) -> Record:
    """q of the text's token at the first place is enough where q depends on the prefix alone."""
    prefix, token = [*PROMPT, *text[:position]], text[position]
    q = support(draft.logits(prefix), sampling, 64)
    return Record(
        run="r",
        seq=1,
        t_ms=0.0,
        position=position,
        token_id=token,
        target_prob=distribution(target.logits(prefix), sampling).prob(token),
        target_certainty=None,
        overlap=None,
        drafted=[int(q.ids[0])] * depth,
        draft_probs=[float(q.probs[0])] * depth,
        text_probs=[q.prob(token)],
        certainties=[],
        draft_top=[],
        draft_ms=1.0,
    )
