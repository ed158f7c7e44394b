"""Text is decoded from the whole byte sequence, and held back where the next token may still change it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.text import TextStream, printable


def stream(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], bool, str]:
    """What each token adds, whether a stop string ended the text, and what was withheld to the end."""
    text = TextStream(lambda token: pieces[token], stop)
    shown: list[str] = []
    for token in range(len(pieces)):
        piece = text.push(token)
        shown.append(piece.text)
        if piece.stopped:
            return shown, True, text.finish()
    return shown, False, text.finish()


@given(st.text(max_size=20), st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_however_it_is_split_the_text_comes_out_whole(text: str, cuts: list[int]) -> None:
    raw, pieces = text.encode(), list[bytes]()
    while raw:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(raw[:size])
        raw = raw[size:]
    shown, _, tail = stream(pieces)
    assert "".join(shown) + tail == text


def test_a_character_shows_with_the_token_that_completes_it() -> None:
    assert stream(["é".encode()[:1], "é".encode()[1:]]) == (["", "é"], False, "")


def test_what_may_begin_a_stop_string_waits() -> None:
    assert stream([b"a", b"\n", b"b"], ("\n\n",)) == (["a", "", "\nb"], False, "")


def test_a_stop_string_is_never_shown_even_across_tokens() -> None:
    assert stream([b"one\n", b"\ntwo"], ("\n\n",)) == (["one", ""], True, "")


def test_what_was_withheld_comes_at_the_end() -> None:
    assert stream([b"a\n"], ("\n\n",)) == (["a"], False, "\n")


@pytest.mark.parametrize(("raw", "shown"), [(b" a", " a"), (b"\xe2\x96", "\\xe2\\x96")])
def test_bytes_outside_utf8_are_escaped(raw: bytes, shown: str) -> None:
    assert printable(raw) == shown
