"""Which characters the vocabulary of a tokenizer.json can write: the engine leaves others out without a word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from speculatoviz.models.tokenizers.limits import without_token

SPACE = "\u2581"  # SentencePiece's mark for a space


class Characters:
    """described: the content of tokenizer.json. texts: the vocabulary by id.

    byte_level: tokens write every byte as a printable character. sentencepiece: they write a space as "▁", and a byte
    as "<0x0A>".
    """

    def __init__(self, described: Mapping[str, Any], texts: Mapping[int, str]) -> None:
        model, decoders = described["model"], json.dumps(described.get("decoder"))
        vocabulary = frozenset(texts.values())
        self.byte_level = '"ByteLevel"' in decoders
        self.sentencepiece = not self.byte_level and ('"ByteFallback"' in decoders or SPACE in decoders)
        self._unknown = next((t for t, text in texts.items() if text == model.get("unk_token")), model.get("unk_id"))
        self._unknown_text = texts.get(self._unknown, "") if isinstance(self._unknown, int) else ""
        self._missing_bytes = frozenset(byte for letter, byte in byte_of().items() if letter not in vocabulary)
        falls_back = bool(model.get("byte_fallback")) and vocabulary.issuperset(
            f"<0x{byte:02X}>" for byte in range(256)
        )
        drops = model.get("type") == "BPE" and self._unknown is None and not (self.byte_level or falls_back)
        self._alphabet = vocabulary if drops else None

    def check_before(self, text: str, names: Iterable[str]) -> None:
        """Raises BadRequestError for a character that the engine would leave out.

        names: of added tokens, which are no text.
        """
        if not any(map(self._lacks, set(text))):
            return
        for name in names:
            text = text.replace(name, "")
        if lacking := sorted(filter(self._lacks, set(text))):
            raise without_token(lacking[0])

    def check_after(self, ids: Sequence[int], names: str) -> None:
        """Raises BadRequestError if a character became the token for unknown ones.

        names: a text with the names of control tokens that became tokens, where the unknown token's is allowed.
        """
        if self._unknown is not None and ids.count(self._unknown) > (
            names.count(self._unknown_text) if self._unknown_text else 0
        ):
            raise without_token(None)

    def _lacks(self, character: str) -> bool:
        """Whether the engine leaves this character out."""
        if self.byte_level:
            return not self._missing_bytes.isdisjoint(character.encode())
        return self._alphabet is not None and character not in self._alphabet and not character.isspace()


@lru_cache(maxsize=1)
def byte_of() -> dict[str, int]:
    """Byte-level vocabularies write every byte as a printable character: itself, or the next one from U+0100 on."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(byte): byte for byte in plain} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
