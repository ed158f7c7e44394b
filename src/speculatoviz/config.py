"""One settings model: flags, environment variables, `.env` and the page's form all derive from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_dir
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from speculatoviz.core.types import Rule
from speculatoviz.drafters.about import DRAFTERS, DrafterName
from speculatoviz.errors import BadRequestError


@dataclass(frozen=True)
class Range:
    """An inclusive range with the step a form should offer."""

    minimum: float
    maximum: float
    step: float
    help: str

    def field(self) -> FieldInfo:
        """A pydantic field that refuses anything outside, naming the range."""
        info: FieldInfo = Field(
            ge=self.minimum,
            le=self.maximum,
            description=f"{self.help} ({self.minimum:g} to {self.maximum:g})",
        )
        return info


RANGES: dict[str, Range] = {
    "k": Range(0, 16, 1, "draft depth: tokens drafted per round; 0 decodes with the target alone"),
    "nodes": Range(0, 63, 1, "most tokens of a draft tree; up to the depth it is a chain"),
    "temperature": Range(0, 2, 0.05, "sampling temperature; 0 is greedy"),
    "top_p": Range(0.05, 1, 0.05, "nucleus sampling: smallest set of tokens with this mass"),
    "top_k": Range(0, 1000, 1, "sample from the k most probable tokens; 0 is off"),
    "min_p": Range(0, 1, 0.01, "drop tokens below this share of the most probable one"),
    "max_tokens": Range(1, 4096, 1, "tokens to generate at most"),
    "seed": Range(0, 2**53 - 1, 1, "seed of every random choice of the run"),
}


class Profile(BaseModel):
    """A target with the draft that suits it. k: its drafter's depth; None for what pays best where it runs."""

    name: str
    title: str
    target: str
    draft: str | None
    drafter: str
    k: int | None = None
    target_quantisation: str | None = None
    draft_quantisation: str | None = None


PROFILES: dict[str, Profile] = {
    "qwen": Profile(
        name="qwen",
        title="Qwen2.5-Coder 0.5B drafts for 1.5B",
        target="qwen2.5-coder-1.5b-instruct",
        draft="qwen2.5-coder-0.5b-instruct",
        drafter="model",
        draft_quantisation="Q4_0",  # a pass of the draft is a quarter shorter
    ),
    "smol": Profile(
        name="smol",
        title="SmolLM2 135M with a trained EAGLE head",
        target="smollm2-135m-instruct",
        draft=None,
        drafter="eagle",
        k=4,  # on few cores no depth makes so small a target faster: it shows what a head gets accepted
    ),
}


REMOTE_SCHEMES = ("verifier", "vllm", "sglang", "openai", "cerebras")
SELF_BY_DEFAULT = "Q2_K"  # the cheaper version of a target that is to draft for itself
_PREFIX = "SPECULATOVIZ_"


def _env(name: str, legacy: str) -> AliasChoices:
    return AliasChoices(f"{_PREFIX}{name.upper()}", legacy)


class Settings(BaseSettings):
    """Everything that can be set. Precedence: flag, environment, `.env`, default."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    profile: Literal["qwen", "smol"] = Field("qwen", description="a target with the draft that suits it")
    target: str | None = Field(
        None,
        description="target model: catalogue name; llamacpp:, mlx: or hf: before a path or hub name; or elsewhere, as "
        "verifier:ws://host:port, vllm:URL#model, sglang:URL, openai:URL#model or cerebras:model",
    )
    target_tokenizer: str | None = Field(
        None, description="model whose tokenizer a remote target uses; default: the draft's, or the endpoint's own"
    )
    target_mode: Literal["auto", "scores", "thinning", "match", "bounded", "generate"] = Field(
        "auto", description="how a remote endpoint verifies: auto is the best one that a probe finds"
    )
    target_api_key: SecretStr | None = Field(None, description="key of a remote target")
    cerebras_api_key: SecretStr | None = Field(
        None, validation_alias=_env("cerebras_api_key", "CEREBRAS_API_KEY"), description="key of cerebras: targets"
    )
    cerebras_target_model: str | None = Field(
        None,
        validation_alias=_env("cerebras_target_model", "CEREBRAS_TARGET_MODEL"),
        description="model of a cerebras: target that names none",
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias=_env("openai_api_key", "OPENAI_API_KEY"), description="key of openai: targets"
    )
    chat_template: str | None = Field(
        None,
        description="prompt format of a remote target without one: harmony, llama3, phi3, phi4, chatml, gemma, mistral",
    )
    stop_tokens: str = Field("", description="names of further tokens that end a text, separated by commas")
    overlap: bool = Field(True, description="draft on while a remote target verifies")
    draft: str | None = Field(
        None,
        validation_alias=_env("draft", "DRAFT_MODEL"),
        description="draft model, named like the target; none goes without one",
    )
    drafter: DrafterName | None = Field(None, description=f"where drafts come from: {', '.join(DRAFTERS)}")
    rule: Rule = Field(
        "token", description="how drafts are verified: token, block, match (compared), or typical, which is lossy"
    )
    nodes: Annotated[int, RANGES["nodes"].field()] = Field(0, description=RANGES["nodes"].help)
    target_quantisation: str | None = Field(None, description="requantise the target once, e.g. Q4_0 or F32")
    draft_quantisation: str | None = Field(None, description="requantise the draft once, e.g. Q4_0")
    k: Annotated[int, RANGES["k"].field()] | None = Field(
        None,
        validation_alias=_env("k", "SPECULATION_K"),
        description="draft depth, 0 to 16; by default the best one for this machine's measured pass times",
    )
    temperature: Annotated[float, RANGES["temperature"].field()] = Field(
        0.0, validation_alias=_env("temperature", "TEMPERATURE"), description=RANGES["temperature"].help
    )
    top_p: Annotated[float, RANGES["top_p"].field()] = Field(1.0, description=RANGES["top_p"].help)
    top_k: Annotated[int, RANGES["top_k"].field()] = Field(0, description=RANGES["top_k"].help)
    min_p: Annotated[float, RANGES["min_p"].field()] = Field(0.0, description=RANGES["min_p"].help)
    max_tokens: Annotated[int, RANGES["max_tokens"].field()] = Field(
        256, validation_alias=_env("max_tokens", "MAX_TOKENS"), description=RANGES["max_tokens"].help
    )
    seed: Annotated[int, RANGES["seed"].field()] = Field(0, description=RANGES["seed"].help)
    support_size: int = Field(
        256, ge=1, le=1 << 20, description="most probable tokens a draft model samples from, at T>0"
    )
    ngram_min: int = Field(2, ge=1, le=16, description="shortest suffix the ngram drafter looks up")
    ngram_max: int = Field(4, ge=1, le=16, description="longest suffix the ngram drafter looks up")
    suffix_longest: int = Field(16, ge=1, le=64, description="longest context that the suffix drafter counts")
    corpus_tokens: int = Field(
        0, ge=0, le=1 << 20, description="tokens of earlier outputs that the suffix drafter remembers; 0 for none"
    )
    lookahead_window: int = Field(5, ge=1, le=20, description="columns of the lookahead drafter's window")
    lookahead_ngram: int = Field(4, ge=3, le=8, description="tokens of an n-gram of the lookahead drafter")
    lookahead_guesses: int = Field(4, ge=1, le=16, description="n-grams that the lookahead drafter proposes at most")
    head: str | None = Field(
        None,
        description="file of medusa or eagle heads, which then draft by default; else those shipped for the target",
    )
    selfspec: str | None = Field(
        None,
        description="cheaper version of itself that the target drafts with: a quantisation, or the share of its layers "
        "to keep, e.g. Q2_K or 0.8",
    )
    context_tokens: int = Field(4096, ge=128, le=131072, description="tokens a context holds, prompt included")
    threads: int | None = Field(None, ge=1, le=512, description="threads of a forward pass; default: all cores")
    device: str = Field("auto", description="where transformers computes: auto, cpu, cuda, cuda:1")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="number format of transformers: auto is bfloat16 where the hardware has it"
    )
    evidence: bool = Field(True, description="compute what is only shown: entropies and alternatives")
    sessions: int = Field(4, ge=1, le=64, description="sessions of a verifier at the same time")
    session_idle_s: float = Field(600.0, gt=0, description="seconds until a verifier gives an unused session up")
    api_key: SecretStr | None = Field(None, description="key that clients of a verifier have to know")
    host: str = Field("127.0.0.1", description="address to bind")
    port: int = Field(8000, ge=0, le=65535, description="port to bind; 0 takes a free one")
    cache_dir: str = Field(
        default_factory=lambda: user_cache_dir("speculatoviz"),
        description="where models and measurements are kept",
    )

    @model_validator(mode="after")
    def _ngram_sizes(self) -> Self:
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min is {self.ngram_min} and ngram_max only {self.ngram_max}")
        return self

    def resolved(self) -> Profile:
        """The profile with the explicit choices laid over it."""
        base = PROFILES[self.profile]
        own_target = self.target is not None and self.target != base.target
        remote = self.target is not None and self.target.partition(":")[0] in REMOTE_SCHEMES
        # A target elsewhere is drafted for by the profile's draft model: pairing the two is what it is for.
        draft = self.draft or (None if own_target and not remote else base.draft)
        if draft == "none":
            draft = None
        suited = draft == base.draft and not own_target
        drafter = self.drafter or (base.drafter if suited else "model" if draft else "ngram")
        return Profile(
            name=base.name if not own_target else "custom",
            title=base.title,
            target=self.target or base.target,
            draft=draft,
            drafter=drafter,
            k=base.k if drafter == base.drafter and not own_target else None,
            target_quantisation=self.target_quantisation or (None if own_target else base.target_quantisation),
            draft_quantisation=self.draft_quantisation or (base.draft_quantisation if draft == base.draft else None),
        )


_TAGS = (("start",), ("update",), ("cancel",))  # where a message of that type goes wrong


def in_words(error: ValidationError) -> BadRequestError:
    """The first thing wrong with a message or a setting, with the allowed range where there is one."""
    first = error.errors(include_url=False, include_context=True)[0]
    context = first.get("ctx", {})
    loc = first["loc"][1:] if first["loc"][:1] in _TAGS else first["loc"]
    name = ".".join(map(str, loc))
    if name.startswith(_PREFIX):
        name = name.removeprefix(_PREFIX).lower()
    given = _short(first.get("input"))
    allowed = RANGES.get(name)
    if first["type"] == "extra_forbidden":
        return BadRequestError(f"There is no setting named {name!r}.", "Remove it, or look at /api/settings.")
    if first["type"] == "union_tag_invalid":
        return BadRequestError(
            f"The message's type is {_short(context['tag'])}, and known are {context['expected_tags']}.",
            "Choose one of them.",
        )
    if not loc:  # said by a validator of the whole model
        return BadRequestError(f"{context.get('error', first['msg'])}.", "Change one of them.")
    if allowed is not None:
        return BadRequestError(
            f"{name} is {given}, and allowed are {allowed.minimum:g} to {allowed.maximum:g}.",
            "Choose a value in that range.",
        )
    return BadRequestError(f"{name} is {given}: {first['msg']}.", "Correct it and try again.")


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
