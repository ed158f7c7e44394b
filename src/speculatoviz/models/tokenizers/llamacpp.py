"""The tokenizer and chat template inside a GGUF file, read by llama.cpp or by a library with the same C API."""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.files.decoder import require_vocabulary
from speculatoviz.models.files.gguf import read
from speculatoviz.models.gguf_log import capture_log
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE
from speculatoviz.models.tokenizers.control import ControlNames, encode_rendered
from speculatoviz.models.tokenizers.limits import check_text, first_missing, with_stack, without_token
from speculatoviz.models.tokenizers.templates import ChatTemplate

_PIECE_BYTES = 64
_MOST_TOKENS = 1 << 15  # that are read by name in one text
# llama.h, enum llama_token_attr
_UNKNOWN, _NORMAL, _CONTROL, _USER_DEFINED, _LSTRIP, _RSTRIP = 1 << 0, 1 << 2, 1 << 3, 1 << 4, 1 << 7, 1 << 8
_UNUSED = 1 << 1 | _UNKNOWN
_SPACE = "\u2581"  # SentencePiece's mark for a space
_WHITE_SPACE = " \t\n\v\f\r"  # as C's `isspace` has it
_TWO_SPACES = re.compile(r"\s\s")


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
        self._piece = lru_cache(maxsize=1 << 16)(self._read_piece)
        self._kind, self._pre = self.metadata("tokenizer.ggml.model"), self.metadata("tokenizer.ggml.pre")

    @cached_property
    def beginning(self) -> tuple[int, ...]:
        """BOS if the file asks for it (`add_bos_token`, or the default of its kind of tokenizer)."""
        bos = self._lib.llama_vocab_bos(self._vocab)
        return (bos,) if self._lib.llama_vocab_get_add_bos(self._vocab) and bos >= 0 else ()

    @property
    def chat_beginning(self) -> tuple[int, ...]:
        """As llama.cpp's server has it: BOS by the same rule, once if the template writes it too."""
        return self.beginning

    @cached_property
    def control_names(self) -> Mapping[str, int]:
        """What llama.cpp parses as control tokens, "</s>" among Qwen's ordinary ones included."""
        marked = (t for t in range(self.n_vocab) if self._attributes(t) & (_CONTROL | _UNKNOWN))
        return {self._text(t): t for t in marked}

    def encode(self, text: str, *, special: bool) -> list[int]:
        """See `Tokenizer.encode`."""
        check_text(text)
        self._check_before(text, special)
        ids = with_stack(len(text), lambda: self._tokenized(text.encode(), special))
        self._check_after(text, ids, special)
        return ids

    def encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        """See `LocalTokenizer.encode_parts`. llama.cpp encodes the texts between control tokens separately too."""
        ids = list[int]()
        for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
            if isinstance(part, int):
                ids.append(part)
                continue
            text = part.lstrip(_WHITE_SPACE) if self._strips(before, _RSTRIP) else part
            text = text.rstrip(_WHITE_SPACE) if self._strips(after, _LSTRIP) else text
            ids += self.encode(text, special=False)
        return ids

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """See `Tokenizer.encode_chat`."""
        return encode_rendered(self, messages)

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`; none for an id outside the vocabulary."""
        known = 0 <= token < self.n_vocab  # llama.cpp would end the process
        return b"" if not known or self._attributes(token) & _UNUSED or self._control(token) else self._piece(token)

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
        used = (t for t in range(self.n_vocab) if not self._attributes(t) & _UNUSED)
        return (VocabularyEntry(t, self._read_piece(t), self._control(t)) for t in used)

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

    def _tokenized(self, raw: bytes, special: bool) -> list[int]:
        count = len(raw) + 8
        buffer = (self._lib.llama_token * count)()
        got = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, count, False, special)
        if got < 0:
            raise BadRequestError("The text could not be tokenised.", "Shorten it or remove unusual characters.")
        return list(buffer[:got])

    def _check_before(self, text: str, special: bool) -> None:
        """Raises BadRequestError for what would end the process in llama.cpp, or take minutes."""
        if len(text) > _MOST_TOKENS and len(self._parsed(special).find(text)) > _MOST_TOKENS:
            raise BadRequestError(
                f"The text has more than {_MOST_TOKENS:,} control tokens or other tokens that are read by name.",
                "Send a shorter text.",
            )
        if self._alphabet is not None and (lacking := sorted(set(text.replace(" ", _SPACE)) - self._alphabet)):
            raise without_token(lacking[0])
        if self._pre == "whitespace" and (found := _TWO_SPACES.search(text)):
            raise BadRequestError(
                f"This model's tokenizer cannot read two spaces in a row (from character {found.start() + 1:,}).",
                "Write one space or line break at a time.",
            )

    def _check_after(self, text: str, ids: Sequence[int], special: bool) -> None:
        """Raises BadRequestError for characters that were left out, or replaced by the token for unknown ones."""
        for token in set(ids):
            if self._attributes(token) & _UNKNOWN:
                name = self._piece(token).decode(errors="replace")
                if ids.count(token) > (text.count(name) if special else 0):
                    raise without_token(None)
        if self._kind == "gpt2":
            kept = b"".join(map(self._piece, ids))
            if kept != text.encode() and (character := first_missing(text, kept)):
                raise without_token(character)

    @cached_property
    def _alphabet(self) -> frozenset[str] | None:
        """The characters that a SentencePiece vocabulary without a token for every byte has; None for any other."""
        if self._kind != "llama":
            return None
        texts = {self._lib.llama_vocab_get_text(self._vocab, t) for t in range(self.n_vocab)}
        if texts.issuperset(f"<0x{byte:02X}>".encode() for byte in range(256)):
            return None
        return frozenset(text.decode() for text in texts if len(text.decode(errors="ignore")) == 1)

    def _parsed(self, special: bool) -> ControlNames:
        """The names that llama.cpp looks for in a text, in a time quadratic in how many it finds."""
        marks = _USER_DEFINED | (_CONTROL | _UNKNOWN if special else 0)
        marked = (t for t in range(self.n_vocab) if self._attributes(t) & marks)
        return ControlNames({self._text(t): t for t in marked})

    def _text(self, token: int) -> str:
        return str(self._lib.llama_vocab_get_text(self._vocab, token).decode(errors="replace"))

    def _attributes(self, token: int) -> int:
        return int(self._lib.llama_vocab_get_attr(self._vocab, token))

    def _strips(self, part: str | int, side: int) -> bool:
        """Whether a control token takes away the white space on one side of it."""
        return isinstance(part, int) and bool(self._attributes(part) & side)

    def _control(self, token: int) -> bool:
        """As the file says: llama.cpp adds the mark to ordinary tokens that look like it, "</s>" among Qwen's."""
        attributes = self._attributes(token)
        return bool(attributes & _CONTROL) and not attributes & _NORMAL

    def _read_piece(self, token: int) -> bytes:
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
