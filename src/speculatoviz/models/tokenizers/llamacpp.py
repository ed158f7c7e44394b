"""The tokenizer and chat template inside a GGUF file, read by llama.cpp or by a library with the same C API."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.files.decoder import require_vocabulary
from speculatoviz.models.files.gguf import read
from speculatoviz.models.llamacpp_log import capture_log
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE
from speculatoviz.models.tokenizers.templates import ChatTemplate

_PIECE_BYTES = 64
_UNUSED, _NORMAL, _CONTROL = 1 | 2, 4, 8  # llama.h, enum llama_token_attr; unknown tokens count as unused


class LlamaCppTokenizer:
    """Reads vocabulary and metadata of a loaded model, which must outlive it.

    model: its handle. lib: the library that loaded it, a module or object with llama.cpp's functions.
    """

    def __init__(self, model: Any, lib: Any) -> None:
        self._model, self._lib = model, lib
        self._vocab = self._lib.llama_model_get_vocab(model)
        self.n_vocab = int(self._lib.llama_vocab_n_tokens(self._vocab))
        declared = {self._lib.llama_vocab_eos(self._vocab), self._lib.llama_vocab_eot(self._vocab)}
        self.eos_ids = frozenset(
            t
            for t in range(self.n_vocab)
            if self._lib.llama_vocab_is_eog(self._vocab, t) and (t in declared or self._control(t))
        )
        self.token_bytes = lru_cache(maxsize=1 << 16)(self._token_bytes)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """A rendered template (`special`) brings its own beginning; other text gets the model's, if it has one."""
        raw = text.encode()
        count = len(raw) + 8
        buffer = (self._lib.llama_token * count)()
        got = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, count, not special, special)
        if got < 0:
            raise BadRequestError("The text could not be tokenised.", "Shorten it or remove unusual characters.")
        return list(buffer[:got])

    def token_name(self, token: int) -> str:
        return printable(self._piece(token))

    def render_chat(self, messages: Sequence[Message]) -> str:
        if self._template is None:
            raise BadRequestError(*NO_TEMPLATE)
        return self._template.render(messages)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    def close(self) -> None:
        """End the process that renders the template."""
        template = vars(self).get("_template")  # not read now: the model may be freed
        if template is not None:
            template.close()

    def metadata(self, key: str) -> str | None:
        """A value of the file's header as text; None if it has none."""
        buffer = ctypes.create_string_buffer(1024)
        length = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        if length >= len(buffer):
            buffer = ctypes.create_string_buffer(length + 1)
            self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length >= 0 else None

    def entries(self) -> Iterator[VocabularyEntry]:
        used = (t for t in range(self.n_vocab) if not self._lib.llama_vocab_get_attr(self._vocab, t) & _UNUSED)
        return (VocabularyEntry(t, self._piece(t), self._control(t)) for t in used)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.entries())

    @cached_property
    def _template(self) -> ChatTemplate | None:
        source = self.metadata("tokenizer.chat_template")
        return ChatTemplate(source, self._special_tokens()) if source else None

    def _special_tokens(self) -> dict[str, str]:
        """The texts of the special tokens that the file has, by the names that templates use."""
        unknown = self.metadata("tokenizer.ggml.unknown_token_id") or ""
        ids = {
            "bos_token": self._lib.llama_vocab_bos(self._vocab),
            "eos_token": self._lib.llama_vocab_eos(self._vocab),
            "sep_token": self._lib.llama_vocab_sep(self._vocab),
            "pad_token": self._lib.llama_vocab_pad(self._vocab),
            "mask_token": self._lib.llama_vocab_mask(self._vocab),
            "unk_token": int(unknown) if unknown.isdecimal() else -1,
        }
        return {name: self._piece(token).decode(errors="replace") for name, token in ids.items() if token >= 0}

    def _control(self, token: int) -> bool:
        """As the file says: llama.cpp adds the mark to ordinary tokens that look like it, "</s>" among Qwen's."""
        attributes = self._lib.llama_vocab_get_attr(self._vocab, token)
        return bool(attributes & _CONTROL) and not attributes & _NORMAL

    def _token_bytes(self, token: int) -> bytes:
        unused = self._lib.llama_vocab_get_attr(self._vocab, token) & _UNUSED
        return b"" if unused or self._control(token) else self._piece(token)

    def _piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens written out; none for an id outside the vocabulary."""
        if not 0 <= token < self.n_vocab:  # llama.cpp would end the process
            return b""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        length = self._lib.llama_token_to_piece(self._vocab, token, buffer, _PIECE_BYTES, 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._lib.llama_token_to_piece(self._vocab, token, buffer, -length, 0, True)
        return buffer.raw[:length]


class VocabularyFile(LlamaCppTokenizer):
    """The tokenizer of a GGUF file, loaded without its weights.

    lib: the library that reads it; llama.cpp if none is given. title: of that library, for errors.
    """

    def __init__(self, path: Path, lib: Any = None, title: str = "llama.cpp") -> None:
        if lib is None:
            from llama_cpp import llama_cpp

            lib = llama_cpp
        require_vocabulary(read(path))
        log = capture_log(lib)
        params = lib.llama_model_default_params()
        params.vocab_only = True
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise ModelError(
                f"{title} could not read the vocabulary of {path}{log.reason()}.",
                "Check that it is a complete GGUF file.",
            )
        weakref.finalize(self, lib.llama_model_free, model)
        super().__init__(model, lib)
