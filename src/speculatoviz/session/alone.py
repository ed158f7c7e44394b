"""What a drafter writes alone after a text: its own text, which no target verifies and which is no part of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from speculatoviz.core.chance import seeded
from speculatoviz.core.digest import prompt_digest
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Drafting
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.selfspec import ExitDrafter
from speculatoviz.errors import BadRequestError
from speculatoviz.session.preparation import PreparedRun, check_ids
from speculatoviz.session.session import Session
from speculatoviz.session.shared import Place
from speculatoviz.telemetry.messages import Start


def prepare_alone(session: Session, run: Start, digest: str, output: Sequence[int]) -> PreparedRun:
    """The run that a message begins again, checked for `write_alone` after the ids `output` of its output.

    digest: of the prompt that the run had. Raises BadRequestError if this session builds another prompt from the
    message, if its drafter writes nothing alone, and for ids after which nothing can follow.
    """
    if run.grammar is not None:
        raise BadRequestError(
            "The run followed a grammar, which the drafter alone does not keep.", "Choose a run without a grammar."
        )
    forms = [run] if run.prompt is None else [run, run.model_copy(update={"raw": True})]
    prepared = next((made for made in map(session.prepare, forms) if _has(made, digest)), None)
    if prepared is None:
        raise BadRequestError(
            "The prompt of that run cannot be built again here: it had other turns, or another model's template.",
            "Run the prompt again on this page, then continue from that run.",
        )
    _check_writes(session, prepared.drafter)
    check_ids(session.target.tokenizer, output)
    if not output or output[-1] in prepared.request.limits.end_ids:
        raise BadRequestError("This token ends the text, so nothing follows it.", "Choose another token.")
    return prepared


def write_alone(
    prepared: PreparedRun, output: Sequence[int], most: int, cancelled: Callable[[], bool], place: Place
) -> Draft:
    """Up to `most` tokens after the prompt and `output`, a chain with the run's own sampling; it stops at an end token.

    At T > 0 the tokens are drawn with the run's seed. Raises BadRequestError if no token can follow, and CancelledError
    between forward passes.
    """
    drafter, ids = place.drafters[prepared.drafter], [*prepared.request.prompt, *output]
    request = replace(
        prepared.request,
        prompt=tuple(ids),
        evidence=False,
        cancelled=cancelled,
        drafting=Drafting(),
        needs=frozenset(),
        certainty=False,
    )
    drafter.begin(request)
    draft = drafter.draft(ids, 0, Plan(prepared.drafter, most), seeded(prepared.request.seed)("draft", len(output)))
    if not len(draft):
        raise BadRequestError(
            f"The drafter {prepared.drafter} proposes nothing after this token: the text fills its context, or its "
            "vocabulary cannot express it.",
            "Choose an earlier token.",
        )
    return draft


def _has(prepared: PreparedRun, digest: str) -> bool:
    return prompt_digest(prepared.request.prompt) == digest


def _check_writes(session: Session, name: str) -> None:
    """Raises BadRequestError unless the drafter has a model that reads any text without the target."""
    able = [other for other, drafter in session.drafters.items() if _writes(drafter)]
    if name not in able:
        others = f"Continue with {' or '.join(able)}." if able else "Start the server with --draft NAME."
        raise BadRequestError(
            f"The drafter {name} writes nothing alone: it copies from the text, or reads the target's own pass.",
            others,
        )


def _writes(drafter: object) -> bool:
    return isinstance(drafter, ModelDrafter) and not isinstance(drafter, ExitDrafter)
