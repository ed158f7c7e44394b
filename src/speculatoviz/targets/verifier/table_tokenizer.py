"""The tokenizer of a remote model: a local table of its vocabulary, and calls to the machine that holds the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE
from speculatoviz.models.tokenizers.limits import check_text


class TableTokenizer:
    """Names and bytes of tokens come from a table; texts are encoded by the verifier.

    entries: the used ids, ascending. beginning: the ids before a raw text. encode, encode_chat: called for texts and
    conversations; encode_chat is None without a chat template.
    """

    def __init__(
        self,
        entries: Sequence[VocabularyEntry],
        n_vocab: int,
        eos_ids: frozenset[int],
        beginning: tuple[int, ...],
        encode: Callable[[str, bool], list[int]],
        encode_chat: Callable[[Sequence[Message]], list[int]] | None,
    ) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self.n_vocab, self.eos_ids = n_vocab, eos_ids
        self.fingerprint = fingerprint(entries)
        self.has_chat_template = encode_chat is not None
        self.beginning, self._encode, self._encode_chat = beginning, encode, encode_chat

    def encode(self, text: str, *, special: bool) -> list[int]:
        check_text(text)
        return self._encode(text, special)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        if self._encode_chat is None:
            raise BadRequestError(*NO_TEMPLATE)
        return self._encode_chat(messages)

    def token_bytes(self, token: int) -> bytes:
        entry = self._entries.get(token)
        return b"" if entry is None or entry.control else entry.piece

    def token_name(self, token: int) -> str:
        entry = self._entries.get(token)
        return f"[{token}]" if entry is None or not entry.piece else printable(entry.piece)

    def entries(self) -> Iterator[VocabularyEntry]:
        return iter(self._entries.values())

    def close(self) -> None:
        """Nothing is held here: the verifier renders chat templates."""
