"""Which texts are tokenized, and with how much stack. What would end the process or take minutes is refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from speculatoviz.errors import BadRequestError

T = TypeVar("T")

MOST_CHARACTERS = 1 << 20
# The sum of n² over the runs of n digits, and over those of n white spaces. Some pre-tokenizers take as long:
# superbpe 29 ns * n² for digits with llama.cpp, deepseek-llm 10 ns * n² for spaces with the library tokenizers.
MOST_SQUARES = {"digits": 1 << 24, "spaces": 1 << 26}
_SPACES = re.compile("[ \t\n\v\f\r\u2581]+")
_RUNS = {"digits": re.compile(r"\d{16,}"), "spaces": re.compile(r"\s{16,}")}

# llama.cpp splits texts with std::regex, whose GNU implementation recurses: 280 to 360 bytes per character.
_STACK_BYTES = 1 << 20
_STACK_BYTES_PER_CHARACTER = 512
_SHORT = 1_000  # characters that every thread's stack suffices for
_stack_size = threading.Lock()  # `threading.stack_size` is one setting of the process


def check_text(text: str) -> None:
    """Raises BadRequestError for a text that no tokenizer is given.

    That is one that is no Unicode text, one with more than MOST_CHARACTERS, or one with runs of digits or white space
    above MOST_SQUARES.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadRequestError(
            f"The text has {len(text):,} characters and {MOST_CHARACTERS:,} are allowed.", "Send a shorter text."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequestError(
            f"The text is not Unicode: character {error.start + 1} is half of a surrogate pair.",
            "Check how the text was decoded.",
        ) from error
    for kind, most in MOST_SQUARES.items():
        runs = [len(match[0]) for match in _RUNS[kind].finditer(text)]
        if sum(length * length for length in runs) > most:
            raise BadRequestError(
                f"The text has runs of up to {max(runs):,} {kind}, which take too long to tokenize.",
                "Break them up or shorten them.",
            )


def without_token(character: str | None) -> BadRequestError:
    """The error for a character that no token of the vocabulary can write; None: which one is not known."""
    which = "some character of the text" if character is None else f"the character {character!r}"
    return BadRequestError(f"This model's vocabulary has no token for {which}.", "Remove it from the text.")


def first_missing(text: str, kept: bytes) -> str | None:
    """The first character of a text that is not in the bytes of its tokens; None if all are.

    White space is not compared: some control tokens take it away, and some vocabularies write it as another character.
    """
    wanted, found = (_SPACES.sub("", t) for t in (text, kept.decode(errors="replace")))
    place = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), len(found))
    return wanted[place] if place < len(wanted) else None


def with_stack(characters: int, work: Callable[[], T]) -> T:
    """`work` in a thread whose stack suffices for a text of so many characters; in this one for a short text.

    Raises what it raises, and BadRequestError if there is no memory for the stack.
    """
    if characters <= _SHORT:
        return work()
    future: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(work, future), name="tokenize", daemon=True)
    with _stack_size:
        before = threading.stack_size(_STACK_BYTES + _STACK_BYTES_PER_CHARACTER * characters)
        try:
            thread.start()
        except RuntimeError as error:
            raise BadRequestError(
                f"There is no memory to tokenize a text of {characters:,} characters.", "Send a shorter text."
            ) from error
        finally:
            threading.stack_size(before)
    return future.result()


def _run(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # raised where the result is awaited
        future.set_exception(error)
