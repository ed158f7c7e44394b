"""From a checked request to the runs that answer it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from speculatoviz.errors import BadRequestError
from speculatoviz.server.api.requests import ChatRequest, ChatTurn, CompletionRequest, GenerationRequest, Prompt
from speculatoviz.server.api.tools import called, described, grammar, offered, response
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import ChatMessage, Start
from speculatoviz.telemetry.parts import GrammarInfo


@dataclass(frozen=True, slots=True)
class PlannedChoice:
    """One choice of an answer: one run.

    first: whether it is the first choice of its prompt. echo: the text of the prompt, if the choice begins with it.
    scored: whether to score the prompt. generates: False for a request that only repeats its prompt.
    """

    index: int
    prepared: PreparedRun
    first: bool = True
    echo: str | None = None
    scored: bool = False
    generates: bool = True

    @property
    def prompt(self) -> tuple[int, ...]:
        """The ids of the prompt."""
        return self.prepared.request.prompt

    def later(self, by: int) -> PlannedChoice:
        """A further choice of the same prompt, `by` places after this one, with the seed + by."""
        prepared = self.prepared.reseeded(self.prepared.seed + by)
        return replace(self, index=self.index + by, first=False, prepared=prepared)


def planned(session: Session, asked: GenerationRequest, draw_seed: Callable[[], int]) -> list[PlannedChoice]:
    """The runs of a request, in the order of its choices. Choice i has the seed of the request + i.

    draw_seed: returns a seed for requests without one. Raises BadRequestError and TargetError.
    """
    seed = draw_seed() if asked.seed is None else asked.seed
    result: list[PlannedChoice] = []
    for prompt in asked.prompt if isinstance(asked, CompletionRequest) else (None,):
        first = _first_choice(session, asked, prompt, len(result), seed)
        result += [first, *(first.later(by) for by in range(1, asked.choices))]
    return result


def _first_choice(
    session: Session, asked: GenerationRequest, prompt: Prompt | None, index: int, seed: int
) -> PlannedChoice:
    start = start_of(asked, prompt, seed + index)
    prepared = session.prepare(start, prompt if isinstance(prompt, tuple) else None)
    if asked.alternatives is not None:
        prepared = _with_alternatives(prepared, asked.alternatives)
    if not isinstance(asked, CompletionRequest):
        return PlannedChoice(index, prepared)
    scored = asked.echo and asked.logprobs is not None
    if scored:
        session.check_scores_prompts()
    return PlannedChoice(
        index,
        prepared,
        echo=prepared.prompt if asked.echo else None,
        scored=scored,
        generates=asked.max_tokens != 0,
    )


def _with_alternatives(prepared: PreparedRun, count: int) -> PreparedRun:
    if not prepared.request.evidence:
        raise BadRequestError(
            "This server computes no log-probabilities.", "Start it without SPECULATOVIZ_EVIDENCE=false."
        )
    return replace(prepared, request=replace(prepared.request, alternatives=max(1, count)))


def start_of(asked: GenerationRequest, prompt: Prompt | None, seed: int) -> Start:
    """The start message with the same fields. prompt: of a completion; ids are not part of the message."""
    speculation, limit = asked.speculation, asked.limit
    repetition, last_n = asked.repetition
    return Start(
        prompt=prompt if isinstance(prompt, str) else None,
        messages=_turns(asked) if isinstance(asked, ChatRequest) else None,
        raw=isinstance(asked, CompletionRequest),
        max_tokens=None if limit is None else max(1, limit),
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=None if asked.top_k is None else max(0, asked.top_k),
        min_p=asked.min_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        repetition_penalty=repetition,
        repeat_last_n=last_n,
        logit_bias=asked.logit_bias,
        seed=seed,
        stop=list(asked.stop),
        ignore_eos=asked.ignore_eos,
        grammar=_grammar(asked),
        prediction=None if asked.prediction is None else asked.prediction.content,
        drafter=None if speculation is None else speculation.drafter,
        k=None if speculation is None else speculation.k,
        policy=None if speculation is None else speculation.policy,
        evidence=asked.alternatives is not None,
        record_depth=0,  # an answer does not wait for a record
    )


def _grammar(asked: GenerationRequest) -> GrammarInfo | None:
    if isinstance(asked, ChatRequest) and (tools := offered(asked.tools, asked.tool_choice)):
        return grammar(tools, asked.tool_choice, asked.parallel_tool_calls is not False)
    return asked.structure


def _turns(asked: ChatRequest) -> list[ChatMessage]:
    """The messages as the chat template renders them: tools, calls and their results are written out as text."""
    turns: list[ChatMessage] = []
    for results, group in itertools.groupby(asked.messages, lambda turn: turn.role == "tool"):
        if results:
            turns.append(ChatMessage(role="user", content="\n".join(response(turn.content) for turn in group)))
        else:
            turns += map(_message, group)
    tools = offered(asked.tools, asked.tool_choice)
    if not tools:
        return turns
    first = turns[0].content + "\n\n" if turns[0].role == "system" else ""
    system = ChatMessage(role="system", content=first + described(tools))
    return [system, *(turns[1:] if first else turns)]


def _message(turn: ChatTurn) -> ChatMessage:
    """A turn that is no result of a call."""
    if turn.role == "assistant":
        return ChatMessage(role="assistant", content=called(turn.content, turn.tool_calls or ()))
    return ChatMessage(role="user" if turn.role == "user" else "system", content=turn.content)
