"""The tokenizer of a model elsewhere: its vocabulary is a table here, and reading text is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE


class TableTokenizer:
    """entries: the used ids, ascending. encode, render: ask whoever holds the model."""

    def __init__(
        self,
        entries: Sequence[VocabularyEntry],
        n_vocab: int,
        eos_ids: frozenset[int],
        encode: Callable[[str, bool], list[int]],
        render: Callable[[Sequence[Message]], str] | None,
    ) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self.n_vocab, self.eos_ids = n_vocab, eos_ids
        self.fingerprint = fingerprint(entries)
        self.has_chat_template = render is not None
        self._encode, self._render = encode, render

    def encode(self, text: str, *, special: bool) -> list[int]:
        return self._encode(text, special)

    def token_bytes(self, token: int) -> bytes:
        entry = self._entries.get(token)
        return b"" if entry is None or entry.control else entry.piece

    def token_name(self, token: int) -> str:
        entry = self._entries.get(token)
        return f"[{token}]" if entry is None or not entry.piece else printable(entry.piece)

    def entries(self) -> Iterator[VocabularyEntry]:
        return iter(self._entries.values())

    def render_chat(self, messages: Sequence[Message]) -> str:
        if self._render is None:
            raise BadRequestError(*NO_TEMPLATE)
        return self._render(messages)

    def close(self) -> None:
        """Nothing is held here: whoever holds the model renders."""
