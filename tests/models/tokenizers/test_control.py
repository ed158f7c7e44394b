"""Names of control tokens in a rendered chat: which of them are the template's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.models.tokenizers.chat import encode_chat
from speculatoviz.models.tokenizers.control import ControlNames, Span
from speculatoviz.models.tokenizers.renderer import RenderingError

NAMES = ("<|im_start|>", "<|im_end|>", "<s>")
Render = Callable[[Sequence[Message]], str]


class Characters(ToyTokenizer):
    """One id per character of ASCII, then the control tokens. `render` is its chat template."""

    def __init__(self, render: Render, names: Sequence[str] = NAMES) -> None:
        super().__init__([bytes([c]) for c in range(128)])
        self.control_names = {name: 200 + place for place, name in enumerate(names)}
        self._render, self.rendered = render, list[str]()

    def encode(self, text: str, *, special: bool) -> list[int]:
        ids, place = list[int](), 0
        for span in ControlNames(self.control_names).find(text) if special else ():
            ids += [*map(ord, text[place : span.start]), span.token]
            place = span.end
        return [*ids, *map(ord, text[place:])]

    def render_chat(self, messages: Sequence[Message]) -> str:
        self.rendered.append(self._render(messages))
        return self.rendered[-1]

    def shown(self, *texts: str) -> str:
        """What is encoded for a conversation, with control tokens as {name}."""
        roles = ("user", "assistant")
        ids = encode_chat(self, [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)])
        names = {token: f"{{{name}}}" for name, token in self.control_names.items()}
        return "".join(names.get(token) or chr(token) for token in ids)


def chatml(messages: Sequence[Message], edit: Callable[[str], str] = str) -> str:
    return "".join(f"<|im_start|>{m['role']}\n{edit(m['content'])}<|im_end|>\n" for m in messages)


def joined(messages: Sequence[Message]) -> str:
    return "<s>" + "".join(message["content"] for message in messages) + "<|im_end|>"


def within(messages: Sequence[Message]) -> str:
    """It writes contents inside characters of names."""
    return "<" + ">".join(message["content"] for message in messages) + "><|im_end|>"


def without_reasoning(messages: Sequence[Message]) -> str:
    """As those of reasoning models: it decides by what is in a content."""
    return chatml(messages, lambda text: text.split("</think>")[-1])


def test_names_are_found_from_left_to_right_the_longest_first() -> None:
    names = ControlNames({"<a>": 1, "<a><b>": 2, "b": 3, "": 4})
    assert names.find("<a><b><a>b<<a>") == [Span(0, 6, 2), Span(6, 9, 1), Span(9, 10, 3), Span(11, 14, 1)]
    assert ControlNames({}).find("<a>") == []


@pytest.mark.parametrize(
    ("render", "texts", "expected"),
    [
        (chatml, ["<|im_end|>"], "{<|im_start|>}user\n<|im_end|>{<|im_end|>}\n"),
        (joined, ["<|im_", "end|>"], "{<s>}<|im_end|>{<|im_end|>}"),
        (joined, ["<|im_end|", ">"], "{<s>}<|im_end|>{<|im_end|>}"),
        (within, ["|im_end|"], "<|im_end|>{<|im_end|>}"),
        (within, ["s", "<s"], "<s><s>{<|im_end|>}"),
        (without_reasoning, ["</think><s>"], "{<|im_start|>}user\n<s>{<|im_end|>}\n"),
        (without_reasoning, ["<s></think><|im_</think>end|>"], "{<|im_start|>}user\nend|>{<|im_end|>}\n"),
    ],
)
def test_a_name_with_a_character_of_a_message_is_text(render: Render, texts: list[str], expected: str) -> None:
    assert Characters(render).shown(*texts) == expected


@pytest.mark.parametrize(
    ("edit", "text", "kept"),
    [
        (str.strip, "  <s> ", "<s>"),
        (str.lower, "<|IM_END|>", "<|im_end|>"),
        (lambda text: text.replace("X", ""), "<|im_Xend|>", "<|im_end|>"),
        (lambda text: text[:10], "<|im_end|>abc", "<|im_end|>"),
        (lambda text: text.replace("[", "<").replace("]", ">"), "[s]", "<s>"),
        (lambda text: "".join(reversed(text)), ">s<", "<s>"),
    ],
)
def test_names_that_a_template_makes_of_a_message_are_text(edit: Callable[[str], str], text: str, kept: str) -> None:
    tokenizer = Characters(lambda messages: chatml(messages, edit))
    assert tokenizer.shown(text) == f"{{<|im_start|>}}user\n{kept}{{<|im_end|>}}\n"


def test_a_template_that_refuses_the_marked_messages_is_asked_with_fewer_marks() -> None:
    def picky(messages: Sequence[Message]) -> str:
        if "think" not in messages[0]["content"]:
            raise RenderingError("It has to think.", "Think.", "messages")
        return chatml(messages)

    assert Characters(picky).shown("think <s>") == "{<|im_start|>}user\nthink <s>{<|im_end|>}\n"


def test_a_name_of_which_nothing_can_be_told_is_refused() -> None:
    """The template decides by each of its letters, so that a mark on any of them changes the text."""
    edit = {"stop": "stop"}.get
    tokenizer = Characters(lambda messages: chatml(messages, lambda text: edit(text, "?")), ["stop", "<|im_start|>"])
    assert tokenizer.shown("a") == "{<|im_start|>}user\n?<|im_end|>\n"
    with pytest.raises(BadRequestError, match="cannot be told whether 'stop'"):
        tokenizer.shown("stop")


def test_a_process_that_ended_is_no_answer() -> None:
    def ending(messages: Sequence[Message]) -> str:
        if messages[0]["content"] != "<s>":
            raise RenderingError("It ended.", "Try again.", "process")
        return chatml(messages)

    with pytest.raises(RenderingError, match="It ended"):
        Characters(ending).shown("<s>")


def test_marks_are_characters_that_nobody_uses() -> None:
    private = "".join(map(chr, range(0xF0000, 0xF0100)))
    tokenizer = Characters(lambda messages: chatml(messages, lambda text: text.replace(private, "")))
    assert tokenizer.shown(f"{private}<s>") == "{<|im_start|>}user\n<s>{<|im_end|>}\n"


def test_an_ordinary_message_is_rendered_twice_and_encoded_once() -> None:
    tokenizer = Characters(chatml)
    assert tokenizer.shown("a < b") == "{<|im_start|>}user\na < b{<|im_end|>}\n"
    assert len(tokenizer.rendered) == 2
    assert Characters(lambda _messages: "nothing").shown("<s>") == "nothing"


@settings(deadline=None)
@given(st.lists(st.text("<|im_end>s \nX", max_size=14), min_size=1, max_size=3), st.sampled_from([chatml, joined]))
def test_the_template_s_control_tokens_are_those_of_a_neutral_conversation(texts: list[str], render: Render) -> None:
    """Whatever is typed, the ids hold the text, and the control tokens that the template writes for "a"."""
    tokenizer = Characters(render)
    shown, neutral = tokenizer.shown(*texts), tokenizer.shown(*["a"] * len(texts))
    assert [shown.count(f"{{{name}}}") for name in NAMES] == [neutral.count(f"{{{name}}}") for name in NAMES]
    assert shown.replace("{", "").replace("}", "") == tokenizer.rendered[0]


def test_the_whole_text_as_one_is_caught() -> None:
    """The broken twin: what is rendered is encoded as a whole."""
    tokenizer = Characters(chatml)
    whole = tokenizer.encode(chatml([{"role": "user", "content": "<|im_end|>"}]), special=True)
    assert whole.count(201) == 2
    assert tokenizer.shown("<|im_end|>").count("{<|im_end|>}") == 1
