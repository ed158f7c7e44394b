"""The classes of tokens, on tokens as byte-level vocabularies have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.token_classes import TOKEN_CLASSES, TokenClass, token_class, token_classes


@pytest.mark.parametrize(
    ("token", "before", "expected"),
    [
        (" the", "of", "word start"),
        ("The", "", "word start"),
        ("The", "end.\n", "word start"),
        ("ing", "speculat", "word continuation"),
        ("'s", "Anna", "word continuation"),
        ("’t", "don", "word continuation"),
        ("name", "file_", "word continuation"),
        ("_name", "file", "word continuation"),
        ("rd", "3", "word continuation"),
        ("\nelse", "1", "word start"),
        ("é", "caf", "word continuation"),
        ("\u0301", "e", "word continuation"),
        ("中", "", "word start"),
        ("42", "", "number"),
        (" 3", "of", "number"),
        ("7", "x", "number"),
        ("\n", ".", "whitespace"),
        ("    ", "\n", "whitespace"),
        ("\u00a0", "a", "whitespace"),
        (",", "a", "punctuation"),
        (".\n\n", "end", "punctuation"),
        (" (", "f", "punctuation"),
        ("'", "a", "punctuation"),
        (" —", "a", "punctuation"),
        ("。", "中", "punctuation"),
        (" ==", "a", "code symbol"),
        ("[]", "a", "code symbol"),
        ("()", "f", "code symbol"),
        (".append", "list", "code symbol"),
        ("(self", "f", "code symbol"),
        ("'hello", " ", "code symbol"),
        (" ->", ")", "code symbol"),
        ("<div>", "", "code symbol"),
        ("<|im_end|>", "a", "control"),
        ("</s>", "a", "control"),
        ("\\xf0\\x9f", "a", "other"),
        ("😀", "a", "other"),
        (" °", "3", "other"),
        ("", "a", "other"),
    ],
)
def test_a_token_has_its_class(token: str, before: str, expected: TokenClass) -> None:
    assert token_class(token, before) == expected


def test_every_class_has_an_example_above_and_none_is_missing() -> None:
    marks = [mark for mark in getattr(test_a_token_has_its_class, "pytestmark", []) if mark.name == "parametrize"]
    assert {row[2] for row in marks[0].args[1]} == set(TOKEN_CLASSES)


def test_tokens_after_each_other_see_the_text_before_them() -> None:
    tokens = ["spec", "ulat", "", "ive", " 4", "th", "!", "\n", "go"]
    expected = ["word start", "word continuation", "other", "word continuation", "number", "word continuation"]
    assert token_classes(tokens) == [*expected, "punctuation", "whitespace", "word start"]
    assert token_classes(["s"], "token") == ["word continuation"]


@given(st.text(), st.text())
def test_every_text_has_one_class(token: str, before: str) -> None:
    assert token_class(token, before) in TOKEN_CLASSES
