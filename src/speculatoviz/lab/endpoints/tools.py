"""One greedy tool call of both engines, whole and streamed: whether its JSON is whole, and the same.

Speculation writes several tokens at once. What reads them for tool calls must not depend on where they were cut.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speculatoviz.errors import TargetError
from speculatoviz.lab.endpoints.side import Side
from speculatoviz.targets.hosted.answers import Body, Count, Part
from speculatoviz.targets.hosted.endpoint import UnusableError

_TOKENS = 160
_NAME = "book_journey"
_REQUEST = {
    "messages": [
        {
            "role": "user",
            "content": "Book a journey for Anna and Jürgen from Lisbon to Paris on 4 May, by train, window seats.",
        }
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": _NAME,
                "description": "Books a journey.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "origin": {"type": "string"},
                        "destination": {"type": "string"},
                        "date": {"type": "string"},
                        "passengers": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
                        "window_seat": {"type": "boolean"},
                    },
                    "required": ["origin", "destination", "date", "passengers", "window_seat"],
                    "additionalProperties": False,
                },
            },
        }
    ],
    "temperature": 0.0,
    "top_p": 1.0,
    "max_tokens": _TOKENS,
}


# The function by name, or any function: llama.cpp's server obeys the second form only.
_CHOICES: tuple[object, ...] = ({"type": "function", "function": {"name": _NAME}}, "required")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """name, arguments: as the engine wrote them. cut: the limit of tokens ended it."""

    name: str
    arguments: str
    cut: bool

    @property
    def value(self) -> Any:
        """The arguments as JSON; None if they are none."""
        try:
            return json.loads(self.arguments)
        except (ValueError, RecursionError):
            return None

    @property
    def broken(self) -> bool:
        """Whether the arguments are no JSON object, though the engine ended them by itself."""
        return not self.cut and not isinstance(self.value, dict)


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The call of each engine, whole and as its stream adds up. notes: what differs."""

    plain: ToolCall
    plain_streamed: ToolCall
    speculating: ToolCall
    speculating_streamed: ToolCall
    notes: tuple[str, ...]

    @property
    def wrong(self) -> bool:
        """Whether only the engine with speculation breaks its JSON."""
        own = self.speculating.broken or self.speculating_streamed.broken
        return own and not (self.plain.broken or self.plain_streamed.broken)


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Why tool calls were not compared."""

    reason: str


class _Function(Part):
    name: str | None = None
    arguments: str | None = None


class _Call(Part):
    index: Count | None = None
    function: _Function = _Function()


class _Message(Part):
    tool_calls: tuple[_Call, ...] = ()


class _Choice(Part):
    message: _Message = _Message()
    delta: _Message = _Message()
    finish_reason: str | None = None


class _Chat(Body):
    """The answer of /chat/completions, or a chunk of its stream, as far as tool calls need it."""

    choices: tuple[_Choice, ...] = ()


async def compare_tools(plain: Side, speculating: Side) -> ToolCalls | NotCompared:
    """Ask both engines for the same call, in the first form of `tool_choice` that both obey.

    Raises UnusableError if one of them cannot be reached any more.
    """
    reason = ""
    for choice in _CHOICES:
        try:
            a, b = await _whole(plain, choice), await _whole(speculating, choice)
            a_streamed, b_streamed = await _streamed(plain, choice), await _streamed(speculating, choice)
        except UnusableError:
            raise
        except TargetError as error:
            reason = reason or error.message
        else:
            notes = _notes(plain.shown, speculating.shown, a, a_streamed, b, b_streamed)
            return ToolCalls(a, a_streamed, b, b_streamed, tuple(notes))
    return NotCompared(f"Tool calls were not compared: {reason}")


def _asked(side: Side, choice: object) -> dict[str, object]:
    return {"model": side.model, **_REQUEST, "tool_choice": choice}


async def _whole(side: Side, choice: object) -> ToolCall:
    answer = await side.endpoint.post("/chat/completions", _asked(side, choice), _Chat)
    choices = answer.body.choices
    return _joined(side, [choice.message for choice in choices], [choice.finish_reason for choice in choices])


async def _streamed(side: Side, choice: object) -> ToolCall:
    deltas, reasons = list[_Message](), list[str | None]()
    async for chunk in side.endpoint.stream("/chat/completions", _asked(side, choice), _Chat):
        for part in chunk.choices:
            deltas.append(part.delta)
            reasons.append(part.finish_reason)
    return _joined(side, deltas, reasons)


def _joined(side: Side, parts: Sequence[_Message], reasons: Sequence[str | None]) -> ToolCall:
    """The first call of an answer, its parts put together. Raises TargetError if there is none."""
    own = [call.function for part in parts for call in part.tool_calls if not call.index]
    if not own:
        raise TargetError(f"{side.shown} answered a request for a tool call without one.", "Start it with tool calls.")
    name = "".join(part.name or "" for part in own)
    return ToolCall(name, "".join(part.arguments or "" for part in own), "length" in reasons)


def _notes(
    plain: str, speculating: str, a: ToolCall, a_streamed: ToolCall, b: ToolCall, b_streamed: ToolCall
) -> list[str]:
    notes = [
        f"{shown} writes {how} a tool call whose arguments are no JSON object: {_short(call)}."
        for shown, how, call in (
            (plain, "at once", a),
            (plain, "as a stream", a_streamed),
            (speculating, "at once", b),
            (speculating, "as a stream", b_streamed),
        )
        if call.broken
    ]
    notes += [
        f"{shown} streams another tool call than it writes at once: {_short(streamed)} instead of {_short(whole)}."
        for shown, whole, streamed in ((plain, a, a_streamed), (speculating, b, b_streamed))
        if not _alike(whole, streamed)
    ]
    if not _alike(a, b):
        notes.append(
            f"The tool calls differ: {_short(a)} without speculation, {_short(b)} with it. If both are whole, a near "
            "tie can be the reason, as for greedy texts."
        )
    return notes


def _alike(a: ToolCall, b: ToolCall) -> bool:
    """Whether two calls mean the same; of calls that are no whole JSON, whether they are written alike."""
    values = a.value, b.value
    same: bool = a.arguments == b.arguments if None in values else values[0] == values[1]
    return a.name == b.name and same


def _short(call: ToolCall) -> str:
    text = f"{call.name}({call.arguments})"
    return text if len(text) <= 120 else f"{text[:117]}..."
