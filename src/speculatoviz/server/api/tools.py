"""Tools: how they are described to the model, the grammar of calls, and calls in a text.

Calls are written as in the Hermes format, which many models are trained on: a JSON object with `name` and `arguments`
between the tags `<tool_call>` and `</tool_call>`. It is text, so it needs no model's own tokens or template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from speculatoviz.models.grammar import COMPACT
from speculatoviz.server.api.answers import CalledFunction, ToolCall
from speculatoviz.server.api.fields import Part
from speculatoviz.telemetry.parts import GrammarInfo

MOST_TOOLS = 128
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_HEAD, _END = f"{_OPEN}\n", f"}}\n{_CLOSE}"
_NAME, _ARGUMENTS = '{"name": "', '", "arguments": '

_NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class FunctionDefinition(Part):
    """parameters: the schema of its arguments; none if left out. strict: refuse keywords that cannot be enforced."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Part):
    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(Part):
    name: str


class ChosenTool(Part):
    type: Literal["function"]
    function: ChosenFunction


ToolChoice = Literal["none", "auto", "required"] | ChosenTool


class CalledTool(Part):
    """A call of an earlier answer."""

    id: str | None = None
    function: CalledFunction


def check_tools(tools: Sequence[Tool], choice: ToolChoice | None, structured: bool) -> None:
    """Raises ValueError for tools and a choice that do not fit each other or the other fields."""
    names = [tool.function.name for tool in tools]
    if len(set(names)) < len(names):
        raise ValueError("two tools have one name")
    if isinstance(choice, ChosenTool) and choice.function.name not in names:
        raise ValueError(f"tool_choice names {choice.function.name!r}, which is not among the tools")
    if choice == "required" and not tools:
        raise ValueError("tool_choice is required, and there are no tools")
    if offered(tools, choice) and structured:
        raise ValueError("an answer that may call tools cannot have a structure of its own; use tool_choice none")


def offered(tools: Sequence[Tool] | None, choice: ToolChoice | None) -> tuple[Tool, ...]:
    """The tools that an answer may call."""
    if choice == "none" or not tools:
        return ()
    if isinstance(choice, ChosenTool):
        return tuple(tool for tool in tools if tool.function.name == choice.function.name)
    return tuple(tools)


# --- what the model reads ------------------------------------------------------------------------------


def described(tools: Sequence[Tool]) -> str:
    """The part of the system message that describes the tools."""
    known = (tool.function.model_dump(mode="json", exclude_none=True, exclude={"strict"}) for tool in tools)
    lines = [json.dumps({"type": "function", "function": function}, ensure_ascii=False) for function in known]
    return "\n".join(
        [
            "You can call these functions. Each line has one, with the JSON schema of its parameters:",
            "<tools>",
            *lines,
            "</tools>",
            "To call a function, write its name and its arguments as a JSON object between these tags:",
            _OPEN,
            '{"name": "function name", "arguments": {"parameter": "value"}}',
            _CLOSE,
        ]
    )


def called(content: str, calls: Sequence[CalledTool]) -> str:
    """An assistant's turn as the model wrote it."""
    written = [f"{_HEAD}{_NAME}{call.function.name}{_ARGUMENTS}{call.function.arguments}{_END}" for call in calls]
    return "\n".join([*([content] if content else []), *written])


def response(content: str) -> str:
    """The result of a call as a part of a user's turn."""
    return f"<tool_response>\n{content}\n</tool_response>"


# --- what the model may write --------------------------------------------------------------------------


def grammar(tools: Sequence[Tool], choice: ToolChoice | None, parallel: bool) -> GrammarInfo:
    """A text in which every call is one of a tool, with arguments of its schema; with `auto` calls may be missing."""
    functions = " | ".join(f"function_{index}" for index in range(len(tools)))
    rules = [f'body: "\\n" ({functions}) "\\n{_CLOSE}"', *map(_function_rule, range(len(tools)), tools)]
    if choice in {None, "auto"}:
        rules += ["rest: TEXT", "TEXT: /(.|\\n)*/", f'opening[lazy]: TEXT "{_OPEN}"']
        start = "start: (opening body)* rest" if parallel else "start: opening body | rest"
    else:
        rules.append(f'call: "{_OPEN}" body')
        start = 'start: call ("\\n" call)*' if parallel else "start: call"
    return GrammarInfo(kind="lark", text="\n".join([start, *rules]))


def _function_rule(index: int, tool: Tool) -> str:
    head = json.dumps(f"{_NAME}{tool.function.name}{_ARGUMENTS}")
    options = COMPACT | {"lenient": not tool.function.strict}
    schema = {**(tool.function.parameters or _NO_PARAMETERS), "x-guidance": options}
    return f'function_{index}: {head} %json {json.dumps(schema)} "}}"'


# --- calls in what it wrote ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What a piece of text adds to an answer. calls: new ones, and further arguments of the last one."""

    content: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(slots=True)
class ToolCallParser:
    """Reads calls from a text that comes in pieces. draw_id: returns an id for a call."""

    draw_id: Callable[[], str]
    complete: int = 0  # calls that are whole
    _index: int = -1  # of the current call, or of the last one
    _inside: Literal["text", "head", "arguments"] = "text"
    _waiting: str = ""  # text that is not decided yet
    _calls: list[ToolCall] = field(default_factory=list)  # of the piece that is being read

    def push(self, text: str) -> Found:
        """The text and the calls that a piece adds, as far as they are certain."""
        self._waiting, self._calls = self._waiting + text, []
        content = ""
        while True:
            before = (self._inside, len(self._waiting))
            content += self._step()
            if before == (self._inside, len(self._waiting)):
                return Found(content, tuple(self._calls))

    def finish(self) -> Found:
        """What was withheld at the end of a text: a beginning of a tag, or arguments that were cut off."""
        rest, self._waiting, self._calls = self._waiting, "", []
        if self._inside == "text":
            return Found("" if self._index >= 0 and not rest.strip() else rest)
        if self._inside == "arguments":
            self._add(arguments=rest)
        return Found(calls=tuple(self._calls))

    def _step(self) -> str:
        """Read as far as one part goes. Returns what is content."""
        if self._inside == "text":
            return self._text()
        if self._inside == "head":
            self._head()
        else:
            self._arguments()
        return ""

    def _text(self) -> str:
        text, tag, rest = self._waiting.partition(_HEAD)
        if tag:
            self._inside, self._waiting = "head", rest
            return text.rstrip()  # white space before a call is no content
        certain = len(text[: len(text) - _overlap(text, _HEAD)].rstrip())
        self._waiting = text[certain:]
        return text[:certain]

    def _head(self) -> None:
        name, tag, rest = self._waiting.removeprefix(_NAME).partition(_ARGUMENTS)
        if tag:
            self._inside, self._waiting, self._index = "arguments", rest, self._index + 1
            self._calls.append(
                ToolCall(
                    index=self._index,
                    id=self.draw_id(),
                    type="function",
                    function=CalledFunction(name=name, arguments=""),
                )
            )

    def _arguments(self) -> None:
        arguments, tag, rest = self._waiting.partition(_END)
        if tag:
            self._inside, self._waiting, self.complete = "text", rest, self.complete + 1
        else:
            certain = len(arguments) - _overlap(arguments, _END)
            arguments, self._waiting = arguments[:certain], arguments[certain:]
        if arguments:
            self._add(arguments)

    def _add(self, arguments: str) -> None:
        self._calls.append(ToolCall(index=self._index, function=CalledFunction(arguments=arguments)))


def _overlap(text: str, tag: str) -> int:
    """How many of the last characters of a text could be the beginning of a tag."""
    most = min(len(text), len(tag) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(tag[:size])), 0)


def joined(first: Found, second: Found) -> Found:
    """What two pieces add, one after the other."""
    return Found(first.content + second.content, first.calls + second.calls)


def whole(found: Found) -> Found:
    """All that a text has, with each call in one part."""
    calls: dict[int, ToolCall] = {}
    for part in found.calls:
        known = calls.get(part.index)
        arguments = part.function.arguments if known is None else known.function.arguments + part.function.arguments
        first = part if known is None else known
        function = first.function.model_copy(update={"arguments": arguments})
        calls[part.index] = first.model_copy(update={"function": function})
    return Found(found.content, tuple(calls.values()))
