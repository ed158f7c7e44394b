"""The kind of text that a token is: the one definition of the token classes by which acceptance is broken down."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, get_args

TokenClass = Literal[
    "word start", "word continuation", "number", "whitespace", "punctuation", "code symbol", "control", "other"
]
TOKEN_CLASSES: tuple[TokenClass, ...] = get_args(TokenClass)

_CONTROL = re.compile(r"<\|[^<>]*\|>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>")
_PART_OF_A_CHARACTER = re.compile(r"\\x[0-9a-f]{2}")  # as `core.text.printable` writes bytes that are no text
_OPERATORS = frozenset("{}[]<>=+*/\\|&^%$#@~`")
_APOSTROPHES = frozenset("'’")


def token_class(token: str, before: str) -> TokenClass:
    r"""The class of a token by its text, leading spaces included, and the text before it.

    The first rule that fits decides; "begins" means after spaces and line breaks:

    1. whitespace: nothing else.
    2. control: the name of a control token, such as `<|im_end|>`.
    3. other: a part of a character (bytes written as \xNN), or no text at all.
    4. number: begins with a digit.
    5. word continuation: begins with a letter, a mark, `_`, or an apostrophe with a letter after it, and follows such a
       character or a digit without a space between them. word start: any other that begins with a letter, a mark or
       `_`.
    6. code symbol: contains an operator or a bracket other than round ones, or `()`, or letters after punctuation, as
       `.append` or `(self` do.
    7. punctuation: other characters that are punctuation. Everything that is left is `other`, for example emoji.
    """
    body = token.lstrip()
    if not body:
        return "whitespace" if token else "other"
    if _CONTROL.fullmatch(token):
        return "control"
    if _PART_OF_A_CHARACTER.search(token):
        return "other"
    if body[0].isnumeric():
        return "number"
    joined = body == token and _in_word(before[-1:])
    if _letter(body[0]) or (joined and body[0] in _APOSTROPHES and _letter(body[1:2])):
        return "word continuation" if joined else "word start"
    return _symbol(body)


def _symbol(body: str) -> TokenClass:
    if _OPERATORS.intersection(body) or "()" in body:
        return "code symbol"
    if not unicodedata.category(body[0]).startswith("P"):
        return "other"
    return "code symbol" if any(map(_letter, body)) else "punctuation"


def token_classes(tokens: Iterable[str], before: str = "") -> list[TokenClass]:
    """The classes of tokens that follow each other. before: the text before the first one."""
    found = list[TokenClass]()
    for token in tokens:
        found.append(token_class(token, before))
        before = token or before
    return found


def _letter(character: str) -> bool:
    """Whether it can be part of a word; False for no character."""
    return character == "_" or (character != "" and unicodedata.category(character)[0] in "LM")


def _in_word(character: str) -> bool:
    return _letter(character) or character.isnumeric()
