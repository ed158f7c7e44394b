"""Prompt formats and end tokens of model families, for tokenizers without a chat template.

The templates are the plain part of the formats that the models were trained on: turns of system, user and assistant,
without tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import LocalTokenizer, Message, Tokenizer, VocabularyEntry
from speculatoviz.models.tokenizers.control import encode_rendered
from speculatoviz.models.tokenizers.templates import ChatTemplate


@dataclass(frozen=True, slots=True)
class Family:
    """The prompt format of a model family.

    template: Jinja, as `ChatTemplate` renders it. bos: the text of its `bos_token`. ends: the tokens that end an
    answer. marks: the control tokens by which a vocabulary of the family is recognised.
    """

    name: str
    template: str
    bos: str
    ends: tuple[str, ...]
    marks: tuple[str, ...]


CHATML = Family(
    "chatml",
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}",
    bos="",
    ends=("<|im_end|>", "<|endoftext|>"),
    marks=("<|im_start|>", "<|im_end|>"),
)
LLAMA3 = Family(
    "llama3",
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + (m.content | trim) + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}",
    bos="<|begin_of_text|>",
    ends=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    marks=("<|start_header_id|>", "<|eot_id|>"),
)
# A message of the assistant may end with <|end|> and another follow: first its analysis, then its answer.
HARMONY = Family(
    "harmony",
    "{{ '<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\\n"
    "Knowledge cutoff: 2024-06\\n\\nReasoning: medium\\n\\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>' }}"
    "{% for m in messages %}{% if m.role in ['system', 'developer'] %}"
    "{{ '<|start|>developer<|message|># Instructions\\n\\n' + m.content + '<|end|>' }}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{{ '<|start|>assistant' }}",
    bos="",
    ends=("<|return|>", "<|call|>", "<|endoftext|>"),
    marks=("<|start|>", "<|channel|>", "<|message|>"),
)
GEMMA = Family(
    "gemma",
    "{{ bos_token }}{% set state = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set state.system = m.content + '\\n\\n' %}{% else %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + state.system + (m.content | trim)"
    " + '<end_of_turn>\\n' }}{% set state.system = '' %}{% endif %}{% endfor %}{{ '<start_of_turn>model\\n' }}",
    bos="<bos>",
    ends=("<end_of_turn>", "<eos>"),
    marks=("<start_of_turn>", "<end_of_turn>"),
)
MISTRAL = Family(
    "mistral",
    "{{ bos_token }}{% set state = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set state.system = m.content + '\\n\\n' %}{% elif m.role == 'user' %}"
    "{{ '[INST]' + state.system + m.content + '[/INST]' }}{% set state.system = '' %}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
    bos="<s>",
    ends=("</s>",),
    marks=("[INST]", "[/INST]"),
)
PHI3 = Family(
    "phi3",
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
    "{{ '<|assistant|>\\n' }}",
    bos="",
    ends=("<|end|>", "<|endoftext|>"),
    marks=("<|assistant|>", "<|end|>"),
)
PHI4 = Family(
    "phi4",
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}"
    "{{ '<|im_start|>assistant<|im_sep|>' }}",
    bos="",
    ends=("<|im_end|>", "<|endoftext|>"),
    marks=("<|im_start|>", "<|im_sep|>"),
)
# Those whose marks include another's come first.
FAMILIES = {family.name: family for family in (HARMONY, LLAMA3, PHI4, CHATML, GEMMA, PHI3, MISTRAL)}


def named(name: str) -> Family:
    """The family of this name. Raises BadRequestError that lists all names."""
    if name not in FAMILIES:
        raise BadRequestError(f"There is no prompt format {name!r}.", f"Choose one of: {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def recognised(tokenizer: Tokenizer) -> Family | None:
    """The first family whose marks are all control tokens of the vocabulary; None if there is none."""
    controls = {entry.piece.decode(errors="replace") for entry in tokenizer.entries() if entry.control}
    return next((family for family in FAMILIES.values() if set(family.marks) <= controls), None)


def fitted(tokenizer: LocalTokenizer, family: str | None = None, stops: Iterable[str] = ()) -> LocalTokenizer:
    """A tokenizer with the template of a family: the named one, or for a tokenizer without template the recognised one.

    stops: names of additional end tokens. Raises BadRequestError for an unknown family or token.
    """
    wanted = tuple(stops)
    if family is None and tokenizer.has_chat_template and not wanted:
        return tokenizer
    chosen = named(family) if family else None if tokenizer.has_chat_template else recognised(tokenizer)
    return _FittedTokenizer(tokenizer, chosen, wanted)


class _FittedTokenizer:
    """A tokenizer with the template of a family and additional end tokens."""

    def __init__(self, inner: LocalTokenizer, family: Family | None, stops: Sequence[str]) -> None:
        self._inner, self._family = inner, family
        self.n_vocab, self.fingerprint = inner.n_vocab, inner.fingerprint
        self.beginning, self.control_names = inner.beginning, inner.control_names
        self.chat_beginning = inner.chat_beginning
        ids = {entry.piece.decode(errors="replace"): entry.id for entry in inner.entries() if entry.control}
        if unknown := [stop for stop in stops if stop not in ids]:
            raise BadRequestError(
                f"There is no control token {unknown[0]!r} in this vocabulary.",
                f"It has: {', '.join(sorted(ids)[:40])}.",
            )
        family_ends = family.ends if family else ()
        self.eos_ids = inner.eos_ids | {ids[name] for name in (*family_ends, *stops) if name in ids}

    @property
    def has_chat_template(self) -> bool:
        return self._family is not None or self._inner.has_chat_template

    def encode(self, text: str, *, special: bool) -> list[int]:
        return self._inner.encode(text, special=special)

    def encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        return self._inner.encode_parts(parts)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return encode_rendered(self, messages)

    def token_bytes(self, token: int) -> bytes:
        return self._inner.token_bytes(token)

    def token_name(self, token: int) -> str:
        return self._inner.token_name(token)

    def entries(self) -> Iterator[VocabularyEntry]:
        return self._inner.entries()

    def render_chat(self, messages: Sequence[Message]) -> str:
        return self._template.render(messages) if self._family else self._inner.render_chat(messages)

    def close(self) -> None:
        if self._family is not None:
            self._template.close()
        self._inner.close()

    @cached_property
    def _template(self) -> ChatTemplate:
        assert self._family is not None
        return ChatTemplate(self._family.template, {"bos_token": self._family.bos, "eos_token": self._family.ends[0]})
