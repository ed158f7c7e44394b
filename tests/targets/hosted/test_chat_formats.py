"""Prompt formats and stop tokens per model family."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, VocabularyEntry
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.targets.hosted.chat_formats import FAMILIES, Family, fitted, recognised

TALK: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]


class Controls(ToyTokenizer):
    """A vocabulary of letters and some control tokens, without a template."""

    def __init__(self, *names: str) -> None:
        super().__init__([b"a", b"b"])
        self.has_chat_template = False
        self._names = names

    def entries(self) -> Iterator[VocabularyEntry]:
        yield VocabularyEntry(0, b"a", False)
        yield from (VocabularyEntry(10 + i, name.encode(), True) for i, name in enumerate(getattr(self, "_names", ())))


RENDERED = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "<s>[INST]Be brief.\n\nHi[/INST]Hello</s>[INST]Bye[/INST]",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye<|end|>\n"
    "<|assistant|>\n",
    "phi4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
    "<|im_start|>assistant<|im_sep|>Hello<|im_end|><|im_start|>user<|im_sep|>Bye<|im_end|>"
    "<|im_start|>assistant<|im_sep|>",
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_conversation_is_written_as_the_family_does(name: str) -> None:
    assert fitted(Controls(), name).render_chat(TALK) == RENDERED[name]


def test_harmony_puts_instructions_into_the_developers_message() -> None:
    text = fitted(Controls(), "harmony").render_chat(TALK)

    assert text.startswith("<|start|>system<|message|>You are ChatGPT")
    assert text.endswith(
        "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
        "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>"
        "<|start|>user<|message|>Hi<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello<|end|>"
        "<|start|>user<|message|>Bye<|end|>"
        "<|start|>assistant"
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_a_family_is_recognised_by_its_tokens(family: Family) -> None:
    tokenizer = Controls(*family.marks, *family.ends)

    assert recognised(tokenizer) == family
    ends = fitted(tokenizer).eos_ids
    assert len(ends - tokenizer.eos_ids) == len(family.ends)


def test_harmony_goes_on_behind_a_message() -> None:
    tokenizer = Controls("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>")

    assert 13 not in fitted(tokenizer).eos_ids
    assert 14 in fitted(tokenizer).eos_ids


def test_a_model_with_a_template_of_its_own_keeps_it() -> None:
    own = ToyTokenizer([b"a"])

    assert fitted(own) is own
    assert fitted(own, "chatml").render_chat(TALK[1:2]).startswith("<|im_start|>user")


def test_stop_tokens_can_be_added_by_name() -> None:
    tokenizer = Controls("<|im_start|>", "<|im_end|>", "<|done|>")

    assert 12 in fitted(tokenizer, stops=("<|done|>",)).eos_ids
    with pytest.raises(BadRequestError, match="no control token '<nope>'"):
        fitted(tokenizer, stops=("<nope>",))


def test_an_unknown_family_gets_the_known_ones() -> None:
    with pytest.raises(BadRequestError) as refused:
        fitted(Controls(), "alpaca")

    assert all(name in refused.value.hint for name in FAMILIES)


def test_a_vocabulary_of_no_known_family_has_no_chat() -> None:
    assert recognised(Controls("<x>")) is None
    assert not fitted(Controls("<x>")).has_chat_template


@pytest.mark.smol
def test_chatml_is_what_a_real_model_of_the_family_says(smol_path: Path) -> None:
    from speculatoviz.models.tokenizers.llamacpp import VocabularyFile

    tokenizer = VocabularyFile(smol_path)

    assert recognised(tokenizer) == FAMILIES["chatml"]
    assert fitted(tokenizer, "chatml").render_chat(TALK) == tokenizer.render_chat(TALK)
