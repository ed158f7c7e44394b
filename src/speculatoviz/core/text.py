"""Text from token ids: decoded from the full byte sequence, held back where the next token may still change it."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token adds to the visible text, and whether a stop string ended the text here."""

    text: str
    stopped: bool


class TextStream:
    """Incremental UTF-8 decoding with stop strings.

    A token that ends inside a character adds nothing until the next completes it; text that may be the beginning
    of a stop string is withheld until that is decided.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], stop: tuple[str, ...] = ()) -> None:
        self._token_bytes = token_bytes
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, token: int) -> Piece:
        return self._release(self._decoder.decode(self._token_bytes(token)))

    def finish(self) -> str:
        """What was still withheld when the run ended."""
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
    """Length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def printable(raw: bytes) -> str:
    """A token's own bytes as text, those outside UTF-8 escaped as \\xNN."""
    return raw.decode("utf-8", errors="backslashreplace")
