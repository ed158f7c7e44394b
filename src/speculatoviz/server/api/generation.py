"""Runs the choices of a request on the models, and reads their events as pieces of text."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.text import TextStream
from speculatoviz.core.types import Scores, Status
from speculatoviz.errors import SpeculatoVizError, reason_of
from speculatoviz.models.base import Tokenizer
from speculatoviz.server.api.answers import FinishReason
from speculatoviz.server.api.logprobs import ScoredToken
from speculatoviz.server.api.planning import PlannedChoice
from speculatoviz.server.api.tally import Tally
from speculatoviz.server.kept_runs import KeptRuns
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.traffic import Listing
from speculatoviz.session.session import Session
from speculatoviz.session.shared import Place
from speculatoviz.telemetry.events import Done, Event, Metrics, VerifyResult

_EMITTED: frozenset[Status] = frozenset({"accepted", "resampled", "bonus", "plain"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is added to a choice: by its echoed prompt, by one round, or by the end of its run.

    emitted: the tokens of a round. prompt: the tokens of a prompt. finish_reason: of the last piece.
    """

    text: str
    emitted: tuple[ScoredToken, ...] = ()
    prompt: tuple[ScoredToken, ...] = ()
    finish_reason: FinishReason | None = None


async def pieces(
    host: ModelHost, kept: KeptRuns, choice: PlannedChoice, tally: Tally, listing: Listing
) -> AsyncGenerator[Piece, None]:
    """Wait for the models and run one choice. Closing the generator cancels the run.

    listing: its id, and its place in the list of requests. Raises SpeculatoVizError, also for what a runtime raises.
    """
    run = listing.run
    session, cancelled = host.ready(), threading.Event()
    tally.begin(len(choice.prompt) if choice.first else 0, cached=choice.first and not choice.scored)
    if choice.echo is not None and not choice.scored:
        yield Piece(choice.echo)
    computed = host.stream(
        lambda place: _computed(session, choice, cancelled, run, place), listing.queued, cancelled, choice.prompt
    )
    with kept.ending(run), failures_in_words(run):
        if choice.generates:
            listing.begin(choice.prepared)
        async with (
            contextlib.aclosing(computed),
            contextlib.aclosing(_read(computed, choice, host, kept, tally)) as found,
        ):
            async for piece in found:
                yield piece


@contextlib.contextmanager
def failures_in_words(run: str) -> Iterator[None]:
    """Turns what a runtime or a tokenizer raises into SpeculatoVizError, and logs it. run: the id, for the log."""
    try:
        yield
    except SpeculatoVizError:
        raise
    except Exception as error:
        log.exception("a run failed", extra={"run": run})
        raise SpeculatoVizError(
            f"The run failed ({reason_of(error)}).", "See the server's log; the models are kept."
        ) from error


def _computed(
    session: Session, choice: PlannedChoice, cancelled: threading.Event, run: str, place: Place
) -> Iterator[list[Scores] | Event]:
    """What a thread of the models computes: the scores of the prompt, then the run."""
    if choice.scored:
        yield session.score_prompt(replace(choice.prepared.request, cancelled=cancelled.is_set), place)
    if choice.generates:
        yield from session.run(run, choice.prepared, cancelled.is_set, place=place)


async def _read(
    computed: AsyncGenerator[list[Scores] | Event, None],
    choice: PlannedChoice,
    host: ModelHost,
    kept: KeptRuns,
    tally: Tally,
) -> AsyncGenerator[Piece, None]:
    results: list[VerifyResult] = []
    async for item in computed:
        if isinstance(item, list):
            tokens = _scored_prompt(choice.prompt, item, host.ready().target.tokenizer)
            yield Piece(choice.echo or "", prompt=tokens)
            continue
        tally.add(item)
        host.counters.add(item)
        kept.add(item)
        match item:
            case VerifyResult() if item.status in _EMITTED:
                results.append(item)
            case Metrics():
                yield Piece("".join(result.text for result in results), tuple(map(_scored, results)))
                results = []
            case Done():
                yield Piece(item.text_tail, finish_reason="stop" if item.finish_reason == "stop" else "length")
    if not choice.generates:
        yield Piece("", finish_reason="length")


def _scored(result: VerifyResult) -> ScoredToken:
    top = tuple((other.token_id, other.logprob) for other in result.target_top_tokens)
    return ScoredToken(result.token_id, result.text, result.target_logprob, top)


def _scored_prompt(ids: Sequence[int], scores: Sequence[Scores], tokenizer: Tokenizer) -> tuple[ScoredToken, ...]:
    """The tokens of a prompt. The first one has no score: nothing comes before it."""
    stream = TextStream(tokenizer.token_bytes)
    texts = [stream.push(token).text for token in ids]
    known = [Scores(None, None, ()), *scores]
    return tuple(ScoredToken(token, text, s.logprob, s.top) for token, text, s in zip(ids, texts, known, strict=True))
