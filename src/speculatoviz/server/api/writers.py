"""From pieces of text to the choices of an answer, whole or in chunks, for each of the two routes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from speculatoviz.server.api.answers import (
    Answer,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatMessage,
    Completion,
    CompletionChoice,
    FinishReason,
    ServerMetrics,
    Timings,
    Usage,
)
from speculatoviz.server.api.generation import Piece
from speculatoviz.server.api.logprobs import TokenNames
from speculatoviz.server.api.planning import PlannedChoice
from speculatoviz.server.api.requests import ChatRequest, CompletionRequest
from speculatoviz.server.api.tools import Found, ToolCallParser, joined, offered, whole

# Left out of a JSON document where they are null; other fields are written as null.
_OPTIONAL = frozenset(
    {"usage", "metrics", "timings", "token_ids", "prompt_token_ids", "completion_tokens_details", "role", "content"}
    | {"tool_calls", "id", "type", "name"}
)


def random_call_id() -> str:
    """An id for a call of a tool."""
    return f"call_{secrets.token_hex(12)}"


class Head(NamedTuple):
    """What all chunks of an answer repeat. created: seconds since 1970."""

    id: str
    created: int
    model: str


class Statistics(NamedTuple):
    """What the last document of an answer reports."""

    usage: Usage | None = None
    metrics: ServerMetrics | None = None
    timings: Timings | None = None


NONE = Statistics()


class Writer(Protocol):
    """Writes the answers of one route."""

    def opening(self, choice: PlannedChoice) -> Any | None:
        """The part of a choice that a stream sends before its first piece; None for nothing."""

    def part(self, choice: PlannedChoice, piece: Piece, offset: int, first: bool) -> Any:
        """The part of a choice for one piece. offset: characters of the choice before it. first: the first part."""

    def whole(self, choice: PlannedChoice, pieces: Sequence[Piece]) -> Any:
        """A finished choice."""

    def chunk(self, head: Head, parts: Sequence[Any], statistics: Statistics = NONE) -> Answer:
        """A document of a stream."""

    def answer(self, head: Head, choices: Sequence[Any], statistics: Statistics) -> Answer:
        """The one document of an answer that is not streamed."""


@dataclass(frozen=True, slots=True)
class CompletionWriter:
    """Answers of `/v1/completions`."""

    asked: CompletionRequest
    names: TokenNames

    def opening(self, choice: PlannedChoice) -> None:
        del choice

    def part(self, choice: PlannedChoice, piece: Piece, offset: int, first: bool) -> CompletionChoice:
        tokens = piece.prompt + piece.emitted
        count = self.asked.logprobs
        return CompletionChoice(
            index=choice.index,
            text=piece.text,
            logprobs=None if count is None or not tokens else self.names.completion(tokens, count, offset),
            finish_reason=piece.finish_reason,
            token_ids=[token.id for token in piece.emitted] if self.asked.return_token_ids else None,
            prompt_token_ids=list(choice.prompt) if self.asked.return_token_ids and first else None,
        )

    def whole(self, choice: PlannedChoice, pieces: Sequence[Piece]) -> CompletionChoice:
        return self.part(choice, merge(pieces), 0, first=True)

    def chunk(self, head: Head, parts: Sequence[Any], statistics: Statistics = NONE) -> Completion:
        return Completion(**head._asdict(), choices=list(parts), **statistics._asdict())

    answer = chunk


@dataclass(frozen=True, slots=True)
class ChatWriter:
    """Answers of `/v1/chat/completions`. draw_id: returns an id for a call of a tool."""

    asked: ChatRequest
    names: TokenNames
    draw_id: Callable[[], str] = random_call_id
    _parsers: dict[int, ToolCallParser] = field(default_factory=dict)  # by choice, if it may call tools

    def opening(self, choice: PlannedChoice) -> ChatChunkChoice:
        return ChatChunkChoice(index=choice.index, delta=ChatDelta(role="assistant", content=""))

    def part(self, choice: PlannedChoice, piece: Piece, offset: int, first: bool) -> ChatChunkChoice:
        del offset, first
        count, found = self.asked.alternatives, self._found(choice, piece)
        return ChatChunkChoice(
            index=choice.index,
            delta=ChatDelta(content=found.content or None, tool_calls=list(found.calls) or None),
            logprobs=None if count is None or not piece.emitted else self.names.chat(piece.emitted, count),
            finish_reason=self._reason(choice, piece),
            token_ids=[token.id for token in piece.emitted] if self.asked.return_token_ids else None,
        )

    def whole(self, choice: PlannedChoice, pieces: Sequence[Piece]) -> ChatChoice:
        merged, count = merge(pieces), self.asked.alternatives
        found = whole(self._found(choice, merged))
        content = found.content if found.content or not found.calls else None
        return ChatChoice(
            index=choice.index,
            message=ChatMessage(content=content, tool_calls=list(found.calls) or None),
            logprobs=None if count is None else self.names.chat(merged.emitted, count),
            finish_reason=self._reason(choice, merged) or "length",
            token_ids=[token.id for token in merged.emitted] if self.asked.return_token_ids else None,
        )

    def chunk(self, head: Head, parts: Sequence[Any], statistics: Statistics = NONE) -> ChatChunk:
        return ChatChunk(**head._asdict(), choices=list(parts), **statistics._asdict())

    def answer(self, head: Head, choices: Sequence[Any], statistics: Statistics) -> ChatCompletion:
        return ChatCompletion(**head._asdict(), choices=list(choices), **statistics._asdict())

    def _found(self, choice: PlannedChoice, piece: Piece) -> Found:
        """The content and the calls that a piece adds."""
        if not offered(self.asked.tools, self.asked.tool_choice):
            return Found(piece.text)
        parser = self._parsers.setdefault(choice.index, ToolCallParser(self.draw_id))
        found = parser.push(piece.text)
        return joined(found, parser.finish()) if piece.finish_reason else found

    def _reason(self, choice: PlannedChoice, piece: Piece) -> FinishReason | None:
        parser = self._parsers.get(choice.index)
        calls = parser is not None and parser.complete > 0
        return "tool_calls" if piece.finish_reason == "stop" and calls else piece.finish_reason


def merge(pieces: Iterable[Piece]) -> Piece:
    """All pieces of a choice as one."""
    pieces = list(pieces)
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.emitted),
        tuple(token for piece in pieces for token in piece.prompt),
        pieces[-1].finish_reason if pieces else None,
    )


def document(answer: Answer) -> str:
    """An answer as a JSON document, in ASCII: some readers of streams end a line at U+0085 or U+2028 too."""
    return json.dumps(_pruned(answer.model_dump(mode="json")), allow_nan=False)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(v) for key, v in value.items() if v is not None or key not in _OPTIONAL}
    return [_pruned(v) for v in value] if isinstance(value, list) else value
