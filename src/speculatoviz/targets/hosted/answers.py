"""The one reader of everything that an endpoint answers; SGLang's own forms are in `sglang_answers`.

Each class has the fields that are used, all optional. A field that is missing, null or of a wrong type has its default.
What needs an absent field raises TargetError. So an answer of any shape becomes a usable reading or an error in words,
never another exception.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from speculatoviz.core.rounds import Usage
from speculatoviz.errors import TargetError

T = TypeVar("T")

_ROUNDING = 1e-2  # a log-probability exceeds 0 by what an endpoint loses in its sums


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


Maybe = Annotated[T | None, WrapValidator(_or_none)]  # None where the element of a list cannot be read
Id = Annotated[int, Field(strict=True, ge=0, lt=1 << 31)]
Count = Annotated[int, Field(strict=True, ge=0, le=1 << 53)]
Logprob = Annotated[float, Field(strict=True, le=_ROUNDING)]  # in nats; minus infinity is allowed, NaN is not
Duration = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(strict=True)] | Id  # a token by its text or by its id


class Part(BaseModel):
    """A JSON object. In place of anything else it is one without fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _an_object(cls, value: object) -> object:
        return value if isinstance(value, dict) else {}

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_default(cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields[info.field_name or ""].default


class Body(Part):
    """A whole answer, with what it reports of its own cost."""

    def usage(self, calls: int, sent_bytes: int, received_bytes: int) -> Usage:
        """Tokens as the endpoint counts them; None where it does not report them."""
        return Usage(calls=calls, sent_bytes=sent_bytes, received_bytes=received_bytes)

    def server_ms(self) -> float | None:
        """The endpoint's own time for the call; None where it does not report it."""
        return None


class ErrorBody(Part):
    """The body of an answer that is an error, in any of the forms that servers give it."""

    error: Annotated[str, Field(strict=True)] | ErrorBody | None = None
    message: str | None = None
    detail: str | None = None

    @property
    def text(self) -> str:
        """The message; empty if there is none."""
        inner = self.error.text if isinstance(self.error, ErrorBody) else self.error
        return inner or self.message or self.detail or ""


# --- completions --------------------------------------------------------------------------------------


class TokenEntry(Part):
    """One token in llama.cpp's form of `logprobs`, or one of its alternatives."""

    id: Id | None = None
    token: str | None = None
    logprob: Logprob | None = None
    top_logprobs: tuple[TokenEntry, ...] = ()


class Logprobs(Part):
    """`logprobs` of a choice: the four lists of OpenAI's completions, or llama.cpp's `content`."""

    content: tuple[TokenEntry, ...] = ()
    tokens: tuple[Name, ...] = ()
    token_logprobs: tuple[Logprob | None, ...] = ()
    top_logprobs: tuple[Maybe[dict[str, Logprob]], ...] = ()


class PromptLogprob(Part):
    """vLLM's score of one token at one place of the prompt."""

    logprob: Logprob | None = None
    rank: Count | None = None


_PROMPT_ROW: TypeAdapter[dict[int, PromptLogprob]] = TypeAdapter(dict[int, PromptLogprob])


def prompt_row(row: object) -> dict[int, PromptLogprob]:
    """One row of vLLM's `prompt_logprobs`, by token id; empty where it cannot be read.

    Rows are read one by one because a long prompt has many, of which only those of the draft are used.
    """
    try:
        return _PROMPT_ROW.validate_python(row)
    except ValidationError:
        return {}


class Delta(Part):
    content: str | None = None


class Choice(Part):
    """One continuation, or the part of one in a chunk of a stream."""

    index: Count | None = None
    text: str | None = None
    delta: Delta = Delta()
    finish_reason: str | None = None
    token_ids: tuple[Id, ...] = ()  # vLLM's name
    tokens: tuple[Id, ...] = ()  # Cerebras' and llama.cpp's name
    prompt_token_ids: tuple[Id, ...] = ()  # vLLM's, with return_token_ids
    logprobs: Logprobs = Logprobs()
    prompt_logprobs: tuple[object, ...] = ()  # a row per token of the prompt, for `prompt_row`

    @property
    def ids(self) -> tuple[int, ...]:
        return self.token_ids or self.tokens

    @property
    def ended(self) -> bool:
        """Whether the endpoint stopped by itself, which it does at an end token."""
        return self.finish_reason == "stop"


class PromptTokensDetails(Part):
    cached_tokens: Count | None = None


class TokenUsage(Part):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()


class TimeInfo(Part):
    """Cerebras' times, in seconds."""

    total_time: Duration | None = None


class Timings(Part):
    """llama.cpp's times. Of several prompts it reports one."""

    prompt_ms: Duration | None = None
    predicted_ms: Duration | None = None


class Completion(Body):
    """The answer of /completions, or a chunk of its stream."""

    choices: tuple[Choice, ...] = ()
    reported: TokenUsage = Field(TokenUsage(), alias="usage")
    time_info: TimeInfo = TimeInfo()
    timings: Timings = Timings()

    def ordered(self, count: int) -> tuple[Choice, ...]:
        """The choices in the order of the `count` prompts or draws.

        Without indices that is the order in which they stand. Raises TargetError for another number of choices, and
        for indices that are not 0 to count - 1.
        """
        if len(self.choices) != count:
            raise TargetError(
                f"The endpoint returned {len(self.choices)} answers where {count} were expected.",
                "Run `speculatoviz probe` to find out what it can do.",
            )
        indices = [choice.index for choice in self.choices if choice.index is not None]
        if count == 1 or not indices:
            return self.choices
        if sorted(indices) != list(range(count)):
            raise TargetError(
                f"The endpoint numbers its {count} answers {indices}: it is unknown which answer belongs to which "
                "prompt.",
                "Run `speculatoviz probe` to find out what it can do.",
            )
        return tuple(sorted(self.choices, key=lambda choice: choice.index or 0))

    def usage(self, calls: int, sent_bytes: int, received_bytes: int) -> Usage:
        """A report of fewer completion tokens than choices covers one prompt of several, and is left out."""
        reported = self.reported
        if (reported.completion_tokens or 0) < len(self.choices):
            reported = TokenUsage()
        return Usage(
            calls=calls,
            prompt_tokens=reported.prompt_tokens,
            completion_tokens=reported.completion_tokens,
            cached_tokens=reported.prompt_tokens_details.cached_tokens,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
        )

    def server_ms(self) -> float | None:
        if self.time_info.total_time is not None:
            return self.time_info.total_time * 1000
        prompt_ms, predicted_ms = self.timings.prompt_ms, self.timings.predicted_ms
        if prompt_ms is None or predicted_ms is None or len(self.choices) != 1:
            return None
        return prompt_ms + predicted_ms


# --- models and tokenizers ----------------------------------------------------------------------------


class ModelMeta(Part):
    n_ctx: Count | None = None


class ModelEntry(Part):
    """One model: vLLM and SGLang report `max_model_len`, llama.cpp `meta.n_ctx`, others `context_length`."""

    id: str | None = None
    max_model_len: Count | None = None
    context_length: Count | None = None
    meta: ModelMeta = ModelMeta()

    @property
    def context_tokens(self) -> int | None:
        return self.max_model_len or self.meta.n_ctx or self.context_length or None


class ModelList(Body):
    """The answer of /models; some servers answer the list alone."""

    data: tuple[ModelEntry, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_a_list(cls, value: object) -> object:
        return {"data": value} if isinstance(value, list) else value

    @property
    def names(self) -> dict[str, ModelEntry]:
        """The models that have a name."""
        return {entry.id: entry for entry in self.data if entry.id}


class Tokenized(Body):
    """The answer of vLLM's /tokenize; tokens is None where it holds no list of ids."""

    tokens: tuple[Id, ...] | None = None
