"""What a client sends: start a run, change it, cancel it; follow the requests to the API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from speculatoviz.config import RANGES, PolicyName
from speculatoviz.core.types import Rule
from speculatoviz.telemetry.parts import GrammarInfo, Strict

MOST_BIAS = 100.0  # as in OpenAI's API: in effect it bans a token, or makes it the only one
MOST_BIASES = 1024


class ChatMessage(Strict):
    role: Literal["system", "user", "assistant"]
    content: str


class Start(Strict):
    """Begin a run. Either `prompt` (one user turn) or `messages` (a whole conversation)."""

    type: Literal["start"] = "start"
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    raw: bool = Field(False, description="feed `prompt` as it is, without the chat template")
    control_tokens: bool = Field(False, description="names of control tokens in a raw prompt become these tokens")
    max_tokens: Annotated[int, RANGES["max_tokens"].field()] | None = None
    temperature: Annotated[float, RANGES["temperature"].field()] | None = None
    k: Annotated[int, RANGES["k"].field()] | None = None
    top_p: Annotated[float, RANGES["top_p"].field()] | None = None
    top_k: Annotated[int, RANGES["top_k"].field()] | None = None
    min_p: Annotated[float, RANGES["min_p"].field()] | None = None
    presence_penalty: Annotated[float, RANGES["presence_penalty"].field()] | None = None
    frequency_penalty: Annotated[float, RANGES["frequency_penalty"].field()] | None = None
    repetition_penalty: Annotated[float, RANGES["repetition_penalty"].field()] | None = None
    repeat_last_n: Annotated[int, Field(ge=1)] | None = Field(
        None, description="repetition_penalty counts only the last tokens, so many; null: all of prompt and output"
    )
    logit_bias: dict[int, Annotated[float, Field(ge=-MOST_BIAS, le=MOST_BIAS)]] | None = Field(
        None, max_length=MOST_BIASES, description="added to the logits of token ids"
    )
    seed: Annotated[int, RANGES["seed"].field()] | None = None
    prediction: str | None = Field(
        None,
        description="text that the output may repeat in part; `suffix` reads it, and drafts if none is named",
    )
    stop: list[str] = Field(default_factory=list, max_length=16)
    ignore_eos: bool = False
    grammar: GrammarInfo | None = Field(None, description="what the output has to be; p is masked by it")
    target: str | None = Field(
        None, description="one of `race_targets` of the settings, over the socket; null: the server's own target"
    )
    drafter: str | None = None
    policy: PolicyName | None = Field(
        None, description="null: the server's own; if it has none, fixed if k or nodes are given, else auto"
    )
    rule: Rule | None = None
    nodes: Annotated[int, RANGES["nodes"].field()] | None = None
    shadow: list[str] = Field(
        default_factory=list, max_length=8, description="drafters that guess beside the one in use, unused and untimed"
    )
    evidence: bool = Field(True, description="compute entropies and alternatives for display")
    record_depth: Annotated[int, Field(ge=0, le=16)] | None = Field(
        None, description="record the drafter's proposals after every output token, to this depth; null: the server's"
    )


class Update(Strict):
    """Change a run; takes effect between rounds."""

    type: Literal["update"]
    k: Annotated[int, RANGES["k"].field()] | None = None
    temperature: Annotated[float, RANGES["temperature"].field()] | None = None
    drafter: str | None = None
    nodes: Annotated[int, RANGES["nodes"].field()] | None = None


class Cancel(Strict):
    type: Literal["cancel"]


class Follow(Strict):
    """Follow the requests to the API: `traffic` events come, first with all runs that are listed."""

    type: Literal["follow"]
    on: bool = Field(True, description="false: send no more")
    prompts: bool = Field(False, description="with the first characters of each prompt")


ClientMessage = Annotated[Start | Update | Cancel | Follow, Field(discriminator="type")]

CLIENT_MESSAGE: TypeAdapter[Start | Update | Cancel | Follow] = TypeAdapter(ClientMessage)
