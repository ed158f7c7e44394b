"""From a checked request to runs on the models, and from their events to pieces of text."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.types import Request, Scores, Status
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.server.api.answers import FinishReason
from speculatoviz.server.api.names import ScoredToken
from speculatoviz.server.api.requests import ChatRequest, CompletionRequest, Generation, Prompt
from speculatoviz.server.api.tally import PREDICTION_DRAFTER, Tally
from speculatoviz.server.model_host import ModelHost
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Event, Metrics, VerifyResult
from speculatoviz.telemetry.messages import ChatMessage, Start

_EMITTED: frozenset[Status] = frozenset({"accepted", "resampled", "bonus", "plain"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedChoice:
    """One choice of an answer: one run.

    first: whether it is the first choice of its prompt. echo: the text of the prompt, if the choice begins with it.
    scored: whether to score the prompt. generates: False for a request that only scores its prompt.
    """

    index: int
    prepared: PreparedRun
    first: bool
    echo: str | None = None
    scored: bool = False
    generates: bool = True

    @property
    def prompt(self) -> tuple[int, ...]:
        """The ids of the prompt."""
        return self.prepared.request.prompt


@dataclass(frozen=True, slots=True)
class Piece:
    """What is added to a choice: by its echoed prompt, by one round, or by the end of its run.

    emitted: the tokens of a round. prompt: the tokens of a prompt. finish_reason: of the last piece.
    """

    text: str
    emitted: tuple[ScoredToken, ...] = ()
    prompt: tuple[ScoredToken, ...] = ()
    finish_reason: FinishReason | None = None


# --- planning -----------------------------------------------------------------------------------------


def planned(session: Session, asked: Generation, draw_seed: Callable[[], int]) -> list[PlannedChoice]:
    """The runs of a request, in the order of its choices. Choice i has the seed of the request + i.

    draw_seed: returns a seed for requests without one. Raises BadRequestError and TargetError.
    """
    seed = draw_seed() if asked.seed is None else asked.seed
    result: list[PlannedChoice] = []
    for prompt in asked.prompt if isinstance(asked, CompletionRequest) else (None,):
        first = _first_choice(session, asked, prompt, len(result), seed)
        later = range(1, asked.choices)
        result += [
            first,
            *(replace(first, index=first.index + i, first=False, prepared=_reseeded(first, i)) for i in later),
        ]
    return result


def _first_choice(session: Session, asked: Generation, prompt: Prompt | None, index: int, seed: int) -> PlannedChoice:
    start = start_of(asked, prompt, seed + index)
    prepared = session.prepare(start, prompt if isinstance(prompt, tuple) else None)
    if asked.alternatives is not None:
        if not prepared.request.evidence:
            raise BadRequestError("This server computes no log-probabilities.", "Start it with evidence on.")
        request = replace(prepared.request, alternatives=max(1, asked.alternatives))
        prepared = replace(prepared, request=request)
    if asked.prediction is not None:
        prepared = replace(prepared, request=_predicting(session, prepared.request, asked.prediction.content))
    if not isinstance(asked, CompletionRequest):
        return PlannedChoice(index, prepared, True)
    scored = asked.echo and asked.logprobs is not None
    if scored:
        session.check_scores_prompts()
    echo = prepared.prompt if asked.echo else None
    return PlannedChoice(index, prepared, True, echo, scored, asked.max_tokens != 0)


def _predicting(session: Session, request: Request, text: str) -> Request:
    """The request with a prediction. Raises BadRequestError if the text cannot be tokenized."""
    ids = session.target.tokenizer.encode(text, special=False)
    return replace(request, prediction=(*request.prompt[-session.settings.suffix_longest :], *ids))


def _reseeded(choice: PlannedChoice, by: int) -> PreparedRun:
    return choice.prepared.reseeded(choice.prepared.seed + by)


def start_of(asked: Generation, prompt: Prompt | None, seed: int) -> Start:
    """The start message with the same fields. prompt: of a completion; ids are not part of the message.

    A request with a prediction that names no drafter is drafted by `suffix`, which reads predictions.
    """
    speculation, limit = asked.speculation, asked.limit
    usual = None if asked.prediction is None else PREDICTION_DRAFTER
    text = prompt if isinstance(prompt, str) else None
    return Start(
        prompt=text,
        messages=_turns(asked) if isinstance(asked, ChatRequest) else None,
        raw=isinstance(asked, CompletionRequest),
        max_tokens=None if limit is None else max(1, limit),
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=None if asked.top_k is None else max(0, asked.top_k),
        min_p=asked.min_p,
        seed=seed,
        stop=list(asked.stop),
        ignore_eos=asked.ignore_eos,
        drafter=usual if speculation is None else speculation.drafter or usual,
        k=None if speculation is None else speculation.k,
        policy=None if speculation is None else speculation.policy,
        evidence=asked.alternatives is not None,
    )


def _turns(asked: ChatRequest) -> list[ChatMessage]:
    return [
        ChatMessage(role="system" if turn.role == "developer" else turn.role, content=turn.content)
        for turn in asked.messages
    ]


@contextlib.contextmanager
def failures_in_words(run: str) -> Iterator[None]:
    """Turns what a runtime or a tokenizer raises into SpeculatoVizError, and logs it. run: the id, for the log."""
    try:
        yield
    except SpeculatoVizError:
        raise
    except Exception as error:
        log.exception("run %s failed", run)
        raise SpeculatoVizError(f"The run failed ({error}).", "See the server's log; the models are kept.") from error


# --- running ------------------------------------------------------------------------------------------


async def pieces(host: ModelHost, choice: PlannedChoice, tally: Tally, run: str) -> AsyncGenerator[Piece, None]:
    """Wait for the models and run one choice. Closing the generator cancels the run.

    run: its id. Raises SpeculatoVizError, also for what a runtime raises.
    """
    session, cancelled = host.ready(), threading.Event()
    tally.begin(len(choice.prompt) if choice.first else 0, cached=choice.first and not choice.scored)
    if choice.echo is not None and not choice.scored:
        yield Piece(choice.echo)
    computed = host.stream(lambda: _computed(session, choice, cancelled, run), lambda _place: None, cancelled)
    with failures_in_words(run):
        async with (
            contextlib.aclosing(computed),
            contextlib.aclosing(_read(computed, choice, host, tally)) as found,
        ):
            async for piece in found:
                yield piece


def _computed(
    session: Session, choice: PlannedChoice, cancelled: threading.Event, run: str
) -> Iterator[list[Scores] | Event]:
    """What the models' thread computes: the scores of the prompt, then the run."""
    if choice.scored:
        yield session.score_prompt(replace(choice.prepared.request, cancelled=cancelled.is_set))
    if choice.generates:
        yield from session.run(run, choice.prepared, cancelled.is_set)


async def _read(
    computed: AsyncGenerator[list[Scores] | Event, None], choice: PlannedChoice, host: ModelHost, tally: Tally
) -> AsyncGenerator[Piece, None]:
    results: list[VerifyResult] = []
    async for item in computed:
        if isinstance(item, list):
            yield Piece(choice.echo or "", prompt=_scored_prompt(choice.prompt, item))
            continue
        tally.add(item)
        host.counters.add(item)
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
    return ScoredToken(result.token_id, result.target_logprob, top)


def _scored_prompt(ids: Sequence[int], scores: Sequence[Scores]) -> tuple[ScoredToken, ...]:
    """The first token of a text has no score: nothing comes before it."""
    rest = zip(ids[1:], scores, strict=True)
    return ScoredToken(ids[0], None), *(ScoredToken(token, s.logprob, s.top) for token, s in rest)
