"""The requests of `/v1/completions` and `/v1/chat/completions`, checked field by field.

A field that is null or left out has the server's own setting. Unknown fields are ignored, as by other servers of this
API. Known fields that would change the text and are not supported are refused, unless they have the value that
changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from speculatoviz.config import RANGES, PolicyName
from speculatoviz.server.api.fields import Part, biases, only, refused, unsupported
from speculatoviz.server.api.structure import StructuredRequest
from speculatoviz.server.api.tools import MOST_TOOLS, CalledTool, Tool, ToolChoice, check_tools
from speculatoviz.telemetry.messages import MOST_BIAS

MOST_STOPS = 16  # OpenAI's API takes 4, vLLM any number; role plays send more than 4
MOST_CHOICES = 128
MOST_LOGPROBS = 20
LARGEST_SEED = 1 << 127
LAST_N = 64  # llama.cpp's default

Prompt = str | tuple[int, ...]


class TextPart(Part):
    """A part of a message."""

    type: Literal["text"]
    text: str


def _text(value: object) -> object:
    """The texts of a list of parts, joined by line breaks, as vLLM and llama.cpp join them."""
    if not isinstance(value, list):
        return value
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise refused("this server reads text parts only, such as {type: text, text: ...}")
    return "\n".join(part["text"] for part in value)


def _prompts(value: object) -> tuple[Prompt, ...]:
    """One prompt or several, each a text or token ids."""
    alone = _prompt(value)
    if alone is not None:
        return (alone,)
    prompts = [_prompt(each) for each in value] if isinstance(value, list) else []
    if len(prompts) > MOST_CHOICES:
        raise refused(f"a request has at most {MOST_CHOICES} prompts")
    known = tuple(prompt for prompt in prompts if prompt is not None)
    if not prompts or len(known) < len(prompts):
        raise refused("a prompt is a string, a list of token ids, or a list of such prompts")
    return known


def _prompt(value: object) -> Prompt | None:
    if isinstance(value, str):
        return value
    ids = isinstance(value, list) and len(value) > 0 and all(type(token) is int for token in value)
    return tuple(value) if ids and isinstance(value, list) else None


def _stops(value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else () if value is None else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) and stop for stop in stops):
        raise refused("stop is a string that is not empty, or a list of such strings")
    if len(stops) > MOST_STOPS:
        raise refused(f"a request has at most {MOST_STOPS} stop strings")
    return tuple(stops)


def _speculation(value: object) -> object:
    return {"k": 0, "policy": "fixed"} if value is False else {} if value is True else value


class Speculation(BaseModel):
    """How this request is drafted; what is left out has the server's own setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drafter: str | None = Field(None, description="source of the drafts, by name (see /api/settings)")
    k: Annotated[int, RANGES["k"].field()] | None = None
    policy: PolicyName | None = Field(None, description="who plans every round; fixed if only k is given")


class Prediction(Part):
    """Text that the output is expected to repeat in part, such as a file before an edit."""

    type: Literal["content"]
    content: Annotated[str, BeforeValidator(_text, json_schema_input_type=str | list[TextPart])]


class StreamOptions(Part):
    include_usage: bool = Field(False, description="send a last chunk with the usage of the whole request")


class ChatTurn(Part):
    """One message of a conversation. `developer` is read as `system`.

    tool_calls: of an assistant, whose content may then be null. A `tool` message is the result of a call.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: tuple[CalledTool, ...] | None = None
    content: Annotated[str, BeforeValidator(_text, json_schema_input_type=str | list[TextPart])]

    @model_validator(mode="before")
    @classmethod
    def _calls_without_text(cls, turn: Any) -> Any:
        called = isinstance(turn, dict) and turn.get("role") == "assistant" and turn.get("tool_calls")
        return {**turn, "content": ""} if called and turn.get("content") is None else turn


class GenerationRequest(StructuredRequest):
    """The fields that both routes take."""

    model: str | None = Field(None, description="the name that /v1/models lists")
    max_tokens: Annotated[int, RANGES["max_tokens"].field()] | None = None
    temperature: Annotated[float, RANGES["temperature"].field()] | None = None
    top_p: Annotated[float, RANGES["top_p"].field()] | None = None
    top_k: Annotated[int, Field(ge=-1, le=RANGES["top_k"].maximum, description="-1 and 0: off")] | None = None
    min_p: Annotated[float, RANGES["min_p"].field()] | None = None
    seed: Annotated[int, Field(ge=-LARGEST_SEED, le=LARGEST_SEED)] | None = Field(
        None, description="of the first choice; choice i has seed + i. Default: a random one"
    )
    stop: Annotated[tuple[str, ...], PlainValidator(_stops, json_schema_input_type=str | list[str] | None)] = Field(
        (), description=f"up to {MOST_STOPS} strings that end the text; they are not part of it"
    )
    ignore_eos: bool = Field(False, description="go on after an end token")
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = Field(None, description="choices for each prompt")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    speculation: Annotated[
        Speculation | None, BeforeValidator(_speculation, json_schema_input_type=Speculation | bool | None)
    ] = Field(None, description="how this request is drafted; false: decode with the target alone")
    prediction: Prediction | None = Field(
        None, description="text that the output is expected to repeat in part: the drafter suffix reads it"
    )
    return_token_ids: bool | None = Field(None, description="add the ids of the emitted tokens to each choice")
    return_tokens_as_token_ids: bool | None = Field(None, description="name tokens in logprobs as token_id:ID")
    frequency_penalty: Annotated[float, RANGES["frequency_penalty"].field()] | None = None
    presence_penalty: Annotated[float, RANGES["presence_penalty"].field()] | None = None
    repetition_penalty: Annotated[float, RANGES["repetition_penalty"].field()] | None = None
    repeat_penalty: Annotated[float, RANGES["repetition_penalty"].field()] | None = Field(
        None, description="repetition_penalty over the last repeat_last_n tokens only, as in llama.cpp"
    )
    repeat_last_n: Annotated[int, Field(ge=-1, le=1 << 20)] | None = Field(
        None, description="tokens that repeat_penalty looks back; -1: all, 0: none. Default: 64"
    )
    logit_bias: Annotated[
        dict[int, float] | None,
        PlainValidator(biases, json_schema_input_type=dict[str, float] | list[tuple[int, float]] | None),
    ] = Field(None, description=f"token ids with what is added to their logits, -{MOST_BIAS:g} to {MOST_BIAS:g}")
    typical_p: Annotated[Any, only(1)] = unsupported(1, what="typical sampling")
    min_tokens: Annotated[Any, only(0)] = unsupported(0, what="a shortest length")
    stop_token_ids: Annotated[Any, only([])] = unsupported([], what="further end tokens")

    @model_validator(mode="after")
    def _one_repetition(self) -> Self:
        both = {self.repetition_penalty, self.repeat_penalty}
        if not both & {None, 1.0}:
            raise ValueError("repetition_penalty and repeat_penalty are two names of one penalty")
        if self.repeat_last_n is not None and self.repeat_penalty is None:
            raise ValueError("repeat_last_n needs repeat_penalty")
        return self

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def choices(self) -> int:
        """Choices for each prompt."""
        return self.n or 1

    @property
    def limit(self) -> int | None:
        """The most completion tokens; None for the server's setting."""
        return self.max_tokens

    @property
    def repetition(self) -> tuple[float | None, int | None]:
        """The repetition penalty, None for the server's setting; and the tokens that it looks back, None for all."""
        if self.repeat_penalty is None or (self.repeat_penalty == 1.0 and self.repetition_penalty is not None):
            return self.repetition_penalty, None
        last_n = LAST_N if self.repeat_last_n is None else self.repeat_last_n
        return (1.0 if last_n == 0 else self.repeat_penalty), (last_n if last_n > 0 else None)

    @property
    def alternatives(self) -> int | None:
        """Alternatives to report with the log-probability of every token; None if neither is asked for."""
        raise NotImplementedError


class CompletionRequest(GenerationRequest):
    """`POST /v1/completions`: continue texts, without the chat template."""

    prompt: Annotated[
        tuple[Prompt, ...],
        PlainValidator(_prompts, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
    ] = Field(description="a text, token ids, or a list of either")
    max_tokens: Annotated[int, Field(ge=0, le=RANGES["max_tokens"].maximum)] | None = Field(
        None, description="0 only with echo: nothing is generated"
    )
    echo: bool = Field(False, description="begin each choice with its prompt; with logprobs, also score the prompt")
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = Field(
        None, description="the target's log-probability of every token, and of so many of the most probable ones"
    )
    best_of: Annotated[Any, only(1)] = unsupported(1, what="choosing among choices")
    suffix: Annotated[Any, only("")] = unsupported("", what="insertion")

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens is 0, and only a request with echo generates nothing")
        if len(self.prompt) * self.choices > MOST_CHOICES:
            raise ValueError(f"the request asks for more than {MOST_CHOICES} choices")
        return self

    @property
    def alternatives(self) -> int | None:
        return self.logprobs


class ChatRequest(GenerationRequest):
    """`POST /v1/chat/completions`: answer a conversation in the model's chat template."""

    messages: Annotated[tuple[ChatTurn, ...], Field(min_length=1)]
    max_completion_tokens: Annotated[int, RANGES["max_tokens"].field()] | None = Field(
        None, description="replaces max_tokens, and comes first if both are given"
    )
    logprobs: bool | None = Field(None, description="the target's log-probability of every emitted token")
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = Field(
        None, description="and of so many of the most probable ones"
    )
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_TOOLS)] | None = Field(
        None, description="functions that the answer may call"
    )
    tool_choice: ToolChoice | None = Field(
        None, description="none, auto (the default with tools), required, or a function by name"
    )
    parallel_tool_calls: bool | None = Field(None, description="whether one answer may have several calls")
    functions: Annotated[Any, only([])] = unsupported([], what="tools")
    function_call: Annotated[Any, only("none", "auto")] = unsupported("none", what="tools")
    modalities: Annotated[Any, only(["text"])] = unsupported(["text"], what="other modalities")
    audio: Annotated[Any, only()] = unsupported(what="other modalities")

    @model_validator(mode="after")
    def _tools_that_exist(self) -> Self:
        check_tools(self.tools or (), self.tool_choice, self.structure is not None)
        return self

    @model_validator(mode="after")
    def _alternatives_of_logprobs(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    @property
    def limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None
