"""The settings model, the ranges of its numbers, and the profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_dir, user_config_dir, user_data_dir
from pydantic import (
    AliasChoices,
    BaseModel,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from speculatoviz.config.ranges import RANGES
from speculatoviz.core.types import Rule
from speculatoviz.drafters.about import DRAFTERS, DrafterName

ENV_FILE = ".env"
REMOTE_SCHEMES = ("verifier", "vllm", "sglang", "openai", "cerebras")
PolicyName = Literal["auto", "adaptive", "fixed"]
RuntimeSetting = Literal["auto", "llamacpp", "ik", "hf"]
SELF_BY_DEFAULT = "Q2_K"  # quantisation that the target drafts for itself with, if none is chosen
FEWEST_TOKENS = 256  # of a draft's vocabulary: one for each byte
PREFIX = "SPECULATOVIZ_"


class Profile(BaseModel):
    """A target with a draft that suits it.

    k: depth of its own drafter; None chooses the fastest depth from this machine's measured pass times. concurrency:
    runs that a server computes at the same time, if there is memory for their contexts.
    """

    name: str
    title: str
    target: str
    draft: str | None
    drafter: str
    k: int | None = None
    target_quantisation: str | None = None
    draft_quantisation: str | None = None
    draft_vocabulary: int | Literal["all"] = "all"
    concurrency: int = 4


PROFILES: dict[str, Profile] = {
    "qwen": Profile(
        name="qwen",
        title="Qwen2.5-Coder 0.5B drafts for 1.5B",
        target="qwen2.5-coder-1.5b-instruct",
        draft="qwen2.5-coder-0.5b-instruct",
        drafter="model",
        draft_quantisation="Q4_0",  # shortens a pass of the draft model by a third
        draft_vocabulary=98304,  # on ik_llama.cpp by another fifth: the other 53,632 tokens hardly ever come
    ),
    "smol": Profile(
        name="smol",
        title="SmolLM2 135M with a trained EAGLE head",
        target="smollm2-135m-instruct",
        draft=None,
        drafter="eagle",
        concurrency=8,
        k=4,  # of the policy `fixed`: shows acceptance. On few cores no depth makes this small target faster.
    ),
}


def _env(name: str, short: str) -> AliasChoices:
    return AliasChoices(f"{PREFIX}{name.upper()}", short)


class Settings(BaseSettings):
    """Everything that can be set; `load_settings` reads it. Numbers are finite, texts are not blank."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",  # with or without a byte order mark
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    profile: Literal["qwen", "smol"] = Field("qwen", description="target with a draft that suits it: qwen or smol")
    target: str | None = Field(
        None,
        description="target model: catalogue name; llamacpp:, ik:, mlx: or hf: before a path or hub name; or a remote "
        "target: verifier:ws://host:port, vllm:URL#model, sglang:URL, openai:URL#model or cerebras:model",
    )
    target_tokenizer: str | None = Field(
        None, description="model whose tokenizer a remote target uses; default: the draft's, or the endpoint's own"
    )
    target_mode: Literal["auto", "scores", "thinning", "match", "bounded", "generate"] = Field(
        "auto",
        description="how a remote endpoint verifies: auto (the best mode that a probe finds), scores, thinning, match, "
        "bounded or generate",
    )
    target_api_key: SecretStr | None = Field(None, description="API key of a remote target")
    cerebras_api_key: SecretStr | None = Field(
        None, validation_alias=_env("cerebras_api_key", "CEREBRAS_API_KEY"), description="API key of cerebras: targets"
    )
    cerebras_target_model: str | None = Field(
        None,
        validation_alias=_env("cerebras_target_model", "CEREBRAS_TARGET_MODEL"),
        description="model of a cerebras: target that names none",
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias=_env("openai_api_key", "OPENAI_API_KEY"), description="API key of openai: targets"
    )
    chat_template: str | None = Field(
        None,
        description="prompt format of a remote target without one: harmony, llama3, phi3, phi4, chatml, gemma, mistral",
    )
    stop_tokens: str = Field("", description="names of additional tokens that end a text, separated by commas")
    overlap: bool = Field(True, description="draft ahead while a remote target verifies")
    draft: str | None = Field(
        None,
        validation_alias=_env("draft", "DRAFT_MODEL"),
        description="draft model, named like the target; none: no draft model",
    )
    drafter: DrafterName | None = Field(None, description=f"source of the drafts: {', '.join(DRAFTERS)}")
    policy: PolicyName | None = Field(
        None,
        description="who plans every round: auto (by measured times and acceptance), adaptive or fixed; default: fixed "
        "with a depth or nodes, else auto",
    )
    rule: Rule = Field(
        "token",
        description="verification rule: token, block, match (sample and match, for comparison) or typical (lossy)",
    )
    nodes: Annotated[int, RANGES["nodes"].field()] = Field(0, description=RANGES["nodes"].help)
    target_quantisation: str | None = Field(
        None, description="requantise the target to this type, once, e.g. Q4_0 or F32"
    )
    draft_quantisation: str | None = Field(
        None,
        description="requantise the draft model to this type, once, e.g. Q4_0; auto: the type that drafts fastest for "
        "this target here, by measured times and acceptance",
    )
    draft_vocabulary: int | Literal["all"] | None = Field(
        None,
        description="how many tokens the draft model can propose: all, or a number such as 32768 for the most frequent "
        "ones; fewer make a draft cheaper, and each rare token a rejection. The text stays exact",
    )
    k: Annotated[int, RANGES["k"].field()] | None = Field(
        None,
        validation_alias=_env("k", "SPECULATION_K"),
        description="draft depth, 0 to 16; default: the fastest depth by this machine's measured pass times",
    )
    temperature: Annotated[float, RANGES["temperature"].field()] = Field(
        0.0, validation_alias=_env("temperature", "TEMPERATURE"), description=RANGES["temperature"].help
    )
    top_p: Annotated[float, RANGES["top_p"].field()] = Field(1.0, description=RANGES["top_p"].help)
    top_k: Annotated[int, RANGES["top_k"].field()] = Field(0, description=RANGES["top_k"].help)
    min_p: Annotated[float, RANGES["min_p"].field()] = Field(0.0, description=RANGES["min_p"].help)
    presence_penalty: Annotated[float, RANGES["presence_penalty"].field()] = Field(
        0.0, description=RANGES["presence_penalty"].help
    )
    frequency_penalty: Annotated[float, RANGES["frequency_penalty"].field()] = Field(
        0.0, description=RANGES["frequency_penalty"].help
    )
    repetition_penalty: Annotated[float, RANGES["repetition_penalty"].field()] = Field(
        1.0, description=RANGES["repetition_penalty"].help
    )
    max_tokens: Annotated[int, RANGES["max_tokens"].field()] = Field(
        256, validation_alias=_env("max_tokens", "MAX_TOKENS"), description=RANGES["max_tokens"].help
    )
    seed: Annotated[int, RANGES["seed"].field()] = Field(0, description=RANGES["seed"].help)
    support_size: int = Field(
        256,
        ge=1,
        le=1 << 20,
        description="number of most probable tokens that a draft model samples from, at temperature > 0",
    )
    ngram_min: int = Field(2, ge=1, le=16, description="shortest suffix, in tokens, that the ngram drafter looks up")
    ngram_max: int = Field(4, ge=1, le=16, description="longest suffix, in tokens, that the ngram drafter looks up")
    suffix_longest: int = Field(
        16, ge=1, le=64, description="longest context, in tokens, that the suffix drafter matches"
    )
    corpus_tokens: int = Field(
        0, ge=0, le=1 << 20, description="tokens of earlier outputs that the suffix drafter keeps; 0 keeps none"
    )
    lookahead_window: int = Field(5, ge=1, le=20, description="width of the lookahead drafter's window, in tokens")
    lookahead_ngram: int = Field(4, ge=3, le=8, description="tokens per n-gram of the lookahead drafter")
    lookahead_guesses: int = Field(
        4, ge=1, le=16, description="maximum number of n-grams that the lookahead drafter proposes per round"
    )
    head: str | None = Field(
        None,
        description="file of Medusa or EAGLE heads, or a published EAGLE-3 or DFlash head (hf:OWNER/NAME, a folder, or "
        "a GGUF file), which then drafts by default; default: the heads shipped for the target",
    )
    selfspec: str | None = Field(
        None,
        description="cheaper version of the target that drafts for it: a quantisation, the share of layers to keep, or "
        "its first layers, e.g. Q2_K, 0.8 or first:8",
    )
    context_tokens: int = Field(4096, ge=128, le=131072, description="context size in tokens, prompt included")
    prompt_cache_tokens: int = Field(
        8192,
        ge=0,
        le=1 << 22,
        description="tokens of earlier prompts and answers that are kept for each model, for runs that begin with "
        "them; 0 keeps the last one only",
    )
    prompt_cache: str | None = Field(
        None, description="folder where earlier prompts of each model are kept between starts; default: nowhere"
    )
    runtime: RuntimeSetting = Field(
        "auto",
        description="runtime of GGUF models whose names have no prefix: auto (the fastest one by passes that are timed "
        "once), llamacpp, ik or hf",
    )
    batch_invariant: bool = Field(
        False,
        description="make the target's logits independent of the shape of its passes, and prove that at the start: "
        "greedy text is then that of plain decoding, bit for bit",
    )
    threads: int | None = Field(None, ge=1, le=512, description="threads of a forward pass; default: all cores")
    device: str = Field("auto", description="device of PyTorch (transformers, train): auto, cpu, cuda, cuda:1")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="number format of the transformers runtime: auto (bfloat16 if the hardware has it), float32, "
        "bfloat16 or float16",
    )
    evidence: bool = Field(True, description="compute entropies and alternative tokens, which are only for display")
    record_depth: int = Field(
        0,
        ge=0,
        le=16,
        description="after each run, record what its drafter proposes after every token of the output, this many "
        "tokens deep, so that `speculatoviz whatif` needs no model; 0 records nothing",
    )
    sessions: int = Field(4, ge=1, le=64, description="maximum number of verifier sessions at the same time")
    session_idle_s: float = Field(600.0, gt=0, description="seconds until the verifier closes an unused session")
    api_key: SecretStr | None = Field(
        None,
        description="API key that clients of the page or of the verifier must send; required if other machines can "
        "connect",
    )
    tls_certificate: str | None = Field(
        None, description="PEM file of a certificate and those that signed it: the server speaks TLS (https, wss)"
    )
    tls_key: str | None = Field(
        None, description="PEM file of the certificate's private key; default: it is in the certificate's file"
    )
    stop_s: float = Field(
        5.0, ge=0, le=3600, description="seconds that a stopping server gives its runs until it cancels them"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="form of a server's log on standard error: text, or json with one object in a line"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="least level that a server logs: debug, info (each request and run), warning or error"
    )
    log_details: bool = Field(
        False,
        description="log tracebacks, the texts of errors and paths of files too, which can contain parts of prompts; "
        "text on a terminal has them always",
    )
    keys_file: str | None = Field(
        None,
        description="file of the keys that `speculatoviz keys` makes, which clients of the page, the API or the "
        "verifier may send; default: keys.json in the user's configuration folder",
    )
    require_key: bool = Field(
        False, description="require a key of clients on this machine too; of those on other machines always"
    )
    key_runs: int = Field(
        16,
        ge=0,
        description="runs that the clients of one key may have at the same time, waiting ones included; 0: no limit",
    )
    key_requests: int = Field(
        600, ge=0, description="requests a minute that the clients of one key may send to the models; 0: no limit"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free port")
    concurrency: int | None = Field(
        None,
        ge=1,
        le=32,
        description="runs that the server computes at the same time, in joint forward passes; others wait in a queue; "
        "1: one after another; default: 8 for smol and 4 for other models in this process, fewer if memory is short, "
        "half of the sessions of a verifier up to 4, and 1 for endpoints of others",
    )
    race_targets: str | None = Field(
        None,
        description="targets that a race on the page may load beside the server's own, separated by commas: names of "
        "the catalogue and paths on this machine, with :TYPE to requantise one, as in smollm2-135m-instruct:Q8_0; "
        "none: no other; default: the catalogue",
    )
    store: str | None = Field(
        None,
        description="where runs are kept, with their prompts and texts: the path of an SQLite file or an URL of "
        "SQLAlchemy; none: nowhere; default: runs.db in the user's data folder",
    )
    store_runs: int = Field(
        1000, ge=0, description="runs that are kept at most; the oldest ones without a name go first; 0: no limit"
    )
    store_bytes: int = Field(
        1 << 30, ge=0, description="bytes of compressed traces that are kept at most, likewise; 0: no limit"
    )
    cache_dir: str = Field(
        default_factory=lambda: user_cache_dir("speculatoviz"),
        description="folder for models and measurements; default: the user's cache folder",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _not_blank(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and not value.strip() and info.field_name != "stop_tokens":
            raise ValueError("it needs a value")
        return value

    @field_validator("draft_vocabulary", mode="before")
    @classmethod
    def _tokens(cls, value: Any) -> Any:
        if value is None or value == "all":
            return value
        if not str(value).isdecimal() or int(value) < FEWEST_TOKENS:
            raise ValueError(f"write all, or a number of tokens of at least {FEWEST_TOKENS}")
        return int(value)

    @field_validator("cache_dir", "prompt_cache", "keys_file", "tls_certificate", "tls_key")
    @classmethod
    def _absolute(cls, folder: str | None, info: ValidationInfo) -> str | None:
        try:
            return None if folder is None else str(Path(folder).expanduser().absolute())
        except RuntimeError as error:
            variable = variables(str(info.field_name))[0]
            raise ValueError(f"there is no such home folder; set {variable} to another") from error

    @model_validator(mode="after")
    def _ngram_sizes(self) -> Self:
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min is {self.ngram_min} and ngram_max only {self.ngram_max}")
        return self

    def resolved(self) -> Profile:
        """The profile, with every explicit choice in place of its own."""
        base = PROFILES[self.profile]
        own_target = self.target is not None and self.target != base.target
        remote = self.target is not None and self.target.partition(":")[0] in REMOTE_SCHEMES
        # A remote target is usually paired with the profile's draft model.
        draft = self.draft or (None if own_target and not remote else base.draft)
        if draft == "none":
            draft = None
        suited = draft == base.draft and not own_target
        drafter = self.drafter or (base.drafter if suited else "model" if draft else "ngram")
        version = draft == base.draft and self.runtime != "hf"  # which loads files as they are
        return Profile(
            name=base.name if not own_target else "custom",
            title=base.title,
            target=self.target or base.target,
            draft=draft,
            drafter=drafter,
            k=base.k if drafter == base.drafter and not own_target else None,
            target_quantisation=self.target_quantisation or (None if own_target else base.target_quantisation),
            draft_quantisation=self.draft_quantisation or (base.draft_quantisation if version else None),
            draft_vocabulary=self.draft_vocabulary or (base.draft_vocabulary if version else "all"),
        )


def store_place(settings: Settings) -> str | None:
    """Where runs are kept: a path or an URL; None if they are not."""
    if settings.store is None:
        return str(Path(user_data_dir("speculatoviz")) / "runs.db")
    return None if settings.store == "none" else settings.store


def keys_place(settings: Settings) -> str:
    """The path of the file of keys."""
    return settings.keys_file or str(Path(user_config_dir("speculatoviz")) / "keys.json")


def variables(field: str) -> tuple[str, ...]:
    """The environment variables that a setting is read from; the first one that is set wins."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{PREFIX}{field.upper()}",)
