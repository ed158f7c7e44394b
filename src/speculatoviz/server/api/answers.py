"""The answers of `/v1`, in OpenAI's shapes, with the statistics of vLLM and llama.cpp beside them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from speculatoviz.core.types import Label

FinishReason = Literal["stop", "length", "tool_calls"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


# --- models -------------------------------------------------------------------------------------------


class ModelEntry(Part):
    """One model. max_model_len: the context in tokens, prompt included. root: the model that is served under the id.

    These two and parent are vLLM's names; here the model is served under its own, and is no adapter of another.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "speculatoviz"
    max_model_len: int
    root: str
    parent: str | None = None


class ModelList(Part):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]


# --- statistics ---------------------------------------------------------------------------------------


class PromptTokensDetails(Part):
    cached_tokens: int


class CompletionTokensDetails(Part):
    """Of a request with a prediction: the tokens that were drafted from it, by whether they are part of the output."""

    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class SpeculationUsage(Part):
    """What speculation did in a request, over all its choices. docs/metrics.md defines the figures; null if unknown.

    seed: of the first choice. exactness: the label of the runs (docs/exactness.md).
    """

    drafter: str
    policy: str
    k: int
    seed: int
    exactness: Label
    rounds: int
    drafting_rounds: int
    drafted: int
    accepted: int
    acceptance_rate: float | None
    mean_acceptance_length: float | None
    tokens_per_round: float | None
    per_position_acceptance_rate: list[float]


class Usage(Part):
    """Tokens of a request, over all its choices. An end token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails | None = None
    speculation: SpeculationUsage | None = None


class SpeculativeDecoding(Part):
    """vLLM's statistics of one request. acceptance_histogram[i]: steps in which i drafted tokens were accepted."""

    mean_acceptance_length: float
    draft_acceptance_rate: float
    acceptance_histogram: list[int]
    num_spec_steps: int
    num_accepted_draft_tokens: int
    num_draft_tokens: int
    num_spec_tokens: int


class ServerMetrics(Part):
    speculative_decoding: SpeculativeDecoding


class Timings(Part):
    """llama.cpp's times. prompt_n: computed prompt tokens; cache_n: those that the cache had."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float
    predicted_per_second: float | None
    draft_n: int
    draft_n_accepted: int


class Answer(Part):
    """What all answers and chunks have. metrics, timings: in the last chunk of a stream."""

    id: str
    created: int
    model: str
    usage: Usage | None = None
    metrics: ServerMetrics | None = None
    timings: Timings | None = None


# --- completions --------------------------------------------------------------------------------------


class CompletionLogprobs(Part):
    """Four lists with an entry for each token. The first token of an echoed prompt has no score.

    top_logprobs: the most probable tokens and the token itself. text_offset: of the token in the choice's text.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(Part):
    """token_ids: of the emitted tokens; prompt_token_ids: of the prompt (with return_token_ids)."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None


class Completion(Answer):
    """The answer of `/v1/completions`, or a chunk of its stream."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[CompletionChoice]


# --- chats --------------------------------------------------------------------------------------------


class TopLogprob(Part):
    """A token with its log-probability in nats. bytes: null for a control token, which adds no text."""

    token: str
    logprob: float | None
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Part):
    content: list[TokenLogprob]


class CalledFunction(Part):
    """name: None in chunks that add to the arguments. arguments: JSON, as far as it came."""

    name: str | None = None
    arguments: str


class ToolCall(Part):
    """A call of a tool. id, type: None in chunks that add to the arguments."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction


class ChatMessage(Part):
    """content: None if the answer consists of calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(Part):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason
    token_ids: list[int] | None = None


class ChatCompletion(Answer):
    """The answer of `/v1/chat/completions`."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class ChatDelta(Part):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChatChunkChoice(Part):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None
    token_ids: list[int] | None = None


class ChatChunk(Answer):
    """A chunk of a streamed chat."""

    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    choices: list[ChatChunkChoice]


class ErrorDetail(Part):
    """param: the field of the request that is wrong. code: stable, for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(Part):
    """The body of every error."""

    error: ErrorDetail = Field(description="what happened, and what to do about it")
