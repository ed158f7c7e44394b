"""Text from token ids: decoded from the whole byte sequence, withheld while the next token can still change it."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """text: what one token adds to the visible text. stopped: whether a stop string ended the text here."""

    text: str
    stopped: bool


class TextStream:
    """Incremental UTF-8 decoding with stop strings.

    token_bytes: the bytes of a token id. A token that ends inside a character adds nothing until the character is
    complete. Text that could begin a stop string is withheld until it is known whether it does.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], stop: tuple[str, ...] = ()) -> None:
        self._token_bytes = token_bytes
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, token: int) -> Piece:
        """Add one token."""
        return self._release(self._decoder.decode(self._token_bytes(token)))

    def finish(self) -> str:
        """The text that was still withheld, at the end of a run."""
        tail = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        return tail

    def _release(self, new: str) -> Piece:
        text = self._held + new
        found = [at for s in self._stop if (at := text.find(s)) >= 0]
        if found:
            self._held = ""
            self._decoder.reset()
            return Piece(text[: min(found)], stopped=True)
        keep = max((_overlap(text, s) for s in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return Piece(text[: len(text) - keep], stopped=False)


def _overlap(text: str, stop: str) -> int:
    """The length of the longest suffix of `text` that is a proper prefix of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def printable(raw: bytes) -> str:
    """Bytes as text; those that are not UTF-8 are escaped as \\xNN."""
    return raw.decode("utf-8", errors="backslashreplace")
