"""Control tokens in a rendered chat: those of the template become tokens, those that a user typed stay text.

Encoding a rendered chat as a whole would let a typed `<|im_end|>` close the user's turn. So the chat is rendered again
with *marks*: characters for private use that replace characters of the contents. Where the marks come out, text of a
user came out, also if the template trims, joins or edits contents. A name of a control token that contains such a
place is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import LocalTokenizer, Message
from speculatoviz.models.tokenizers.renderer import RenderingError

_LEAD = 2  # characters of a name that are looked for first

Render = Callable[[Sequence[Message]], str]


class Span(NamedTuple):
    """A name of a control token in a text: text[start:end]."""

    start: int
    end: int
    token: int


class ControlNames:
    """Names of control tokens, to be found in texts. characters: those that names have, without white space."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = {name: token for name, token in ids.items() if name}
        self.characters = frozenset(c for name in self._ids for c in name if not c.isspace())
        self._lengths = sorted({len(name) for name in self._ids}, reverse=True)
        leads = sorted({name[:_LEAD] for name in self._ids})
        self._leads = re.compile("|".join(map(re.escape, leads)))  # matches where a name can begin

    def find(self, text: str) -> list[Span]:
        """The names in a text from left to right, the longest one at each place."""
        spans, place = list[Span](), 0
        while match := self._leads.search(text, place) if self._ids else None:
            start = match.start()
            name = self._longest(text, start)
            place = start + len(name or text[start])
            if name:
                spans.append(Span(start, place, self._ids[name]))
        return spans

    def _longest(self, text: str, start: int) -> str | None:
        names = (text[start : start + length] for length in self._lengths)
        return next((name for name in names if name in self._ids), None)


def encode_rendered(tokenizer: LocalTokenizer, messages: Sequence[Message]) -> list[int]:
    """The ids of a conversation in the tokenizer's chat template.

    Without a name of a control token in what users wrote, these are the ids of the whole rendered text with `special`.
    Raises BadRequestError if the conversation cannot be rendered or encoded.
    """
    names = ControlNames(tokenizer.control_names)
    text = tokenizer.render_chat(messages)
    spans = names.find(text)
    own = _TemplateSpans(tokenizer.render_chat, messages, text, names).find() if spans else []
    ordinary = own == spans
    ids = tokenizer.encode(text, special=True) if ordinary else tokenizer.encode_parts(list(_parts(text, own)))
    return after_beginning(tokenizer.chat_beginning, ids)


def after_beginning(beginning: Sequence[int], ids: list[int]) -> list[int]:
    """The ids after a beginning, which is not repeated if they have it."""
    return ids if tuple(ids[: len(beginning)]) == tuple(beginning) else [*beginning, *ids]


def _parts(text: str, spans: Sequence[Span]) -> Iterator[str | int]:
    """The text as plain parts, with ids in place of the names at `spans`."""
    end = 0
    for span in spans:
        if span.start > end:
            yield text[end : span.start]
        yield span.token
        end = span.end
    if end < len(text):
        yield text[end:]


class _TemplateSpans:
    """Finds the names in a rendered text of which no character comes from a message.

    text: `messages` as `render` renders them. A rendering with marks tells where the marked characters came out if it
    is `text` apart from the marks. It is not, if the template decides by these characters: some look for "</think>" in
    a content. Then one character is marked at a time, and those that the template decides by remain *unknown*.
    """

    def __init__(self, render: Render, messages: Sequence[Message], text: str, names: ControlNames) -> None:
        self._render, self._messages, self._text, self._names = render, messages, text, names
        typed = frozenset[str]().union(*(message["content"] for message in messages))
        self._suspects = names.characters & typed
        self._marks = dict(zip(sorted(self._suspects), _unused(typed.union(text)), strict=False))
        if len(self._marks) < len(self._suspects):
            raise BadRequestError("The text uses every character for private use.", "Remove some of them.")

    def find(self) -> list[Span]:
        """The template's own names. Raises BadRequestError if it cannot be told whether a name is one."""
        marked = self._marked(self._suspects)
        return self._find_one_by_one() if marked is None else self._names.find(marked)

    def _find_one_by_one(self) -> list[Span]:
        text, known, unknown = self._text, set[str](), set[str]()
        while todo := (self._suspects & self._in_names(text)) - known - unknown:
            for character in sorted(todo):
                marked = self._marked({character})
                (unknown if marked is None else known).add(character)
                if marked is not None:
                    text = "".join(m if m != t else c for m, t, c in zip(marked, self._text, text, strict=True))
        spans = self._names.find(text)
        for name in (text[span.start : span.end] for span in spans):
            if self._names.characters.intersection(name) <= unknown:
                raise BadRequestError(
                    f"It cannot be told whether {name!r} in the rendered conversation is the chat template's own.",
                    "Remove this name of a control token from the messages, or send the prompt raw (--raw).",
                )
        return spans

    def _in_names(self, text: str) -> set[str]:
        return {character for span in self._names.find(text) for character in text[span.start : span.end]}

    def _marked(self, characters: Iterable[str]) -> str | None:
        """The rendered text with marks for these characters of the messages; None if the text is another one then."""
        marks = {ord(character): self._marks[character] for character in characters}
        messages: list[Message] = [
            {"role": message["role"], "content": message["content"].translate(marks)} for message in self._messages
        ]
        try:
            marked = self._render(messages)
        except RenderingError as error:
            if error.cause == "process":
                raise
            return None
        characters_of = {ord(mark): character for character, mark in self._marks.items()}
        return marked if marked.translate(characters_of) == self._text else None


def _unused(characters: Container[str]) -> Iterator[str]:
    """Characters for private use that are not among the given ones."""
    private_use = map(chr, chain(range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE)))  # planes 15 and 16 of Unicode
    return (character for character in private_use if character not in characters)
