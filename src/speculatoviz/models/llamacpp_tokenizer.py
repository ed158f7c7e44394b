"""The tokenizer and chat template inside a GGUF file."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import llama_cpp.llama_cpp as lib

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, fingerprint
from speculatoviz.models.chat import ChatTemplate

_PIECE_BYTES = 64
_UNUSED = lib.LLAMA_TOKEN_ATTR_UNUSED | lib.LLAMA_TOKEN_ATTR_UNKNOWN


class LlamaCppTokenizer:
    """Reads vocabulary and metadata of a loaded llama.cpp model, which must outlive it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._vocab = lib.llama_model_get_vocab(model)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self._vocab))
        self.eos_ids = frozenset(t for t in range(self.n_vocab) if lib.llama_vocab_is_eog(self._vocab, t))
        self.token_bytes = lru_cache(maxsize=1 << 16)(self._token_bytes)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """A rendered template (`special`) brings its own beginning; other text gets the model's, if it has one."""
        raw = text.encode()
        count = len(raw) + 8
        buffer = (lib.llama_token * count)()
        got = lib.llama_tokenize(self._vocab, raw, len(raw), buffer, count, not special, special)
        if got < 0:
            raise BadRequestError("The text could not be tokenised.", "Shorten it or remove unusual characters.")
        return list(buffer[:got])

    def token_name(self, token: int) -> str:
        return printable(self._piece(token, special=True))

    def render_chat(self, messages: Sequence[Message]) -> str:
        return self._template.render(messages)

    @property
    def has_chat_template(self) -> bool:
        return bool(lib.llama_model_chat_template(self._model, None))

    def metadata(self, key: str) -> str | None:
        buffer = ctypes.create_string_buffer(1024)
        length = lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length >= 0 else None

    @cached_property
    def fingerprint(self) -> str:
        attributes = ((t, int(lib.llama_vocab_get_attr(self._vocab, t))) for t in range(self.n_vocab))
        return fingerprint(
            (t, self._piece(t, special=True), bool(attr & lib.LLAMA_TOKEN_ATTR_CONTROL))
            for t, attr in attributes
            if not attr & _UNUSED
        )

    @cached_property
    def _template(self) -> ChatTemplate:
        source = lib.llama_model_chat_template(self._model, None)
        if not source:
            raise BadRequestError(
                "This model has no chat template: it continues text and does not answer messages.",
                "Send the prompt raw (--raw), or choose an instruct model.",
            )
        return ChatTemplate(
            source.decode(),
            bos=self._name_of(lib.llama_vocab_bos(self._vocab)),
            eos=self._name_of(lib.llama_vocab_eos(self._vocab)),
        )

    def _name_of(self, token: int) -> str:
        return self.token_name(token) if token >= 0 else ""

    def _token_bytes(self, token: int) -> bytes:
        return b"" if lib.llama_vocab_is_control(self._vocab, token) else self._piece(token, special=False)

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        length = lib.llama_token_to_piece(self._vocab, token, buffer, _PIECE_BYTES, 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self._vocab, token, buffer, -length, 0, special)
        return buffer.raw[:length]
