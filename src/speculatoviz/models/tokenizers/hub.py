"""The tokenizer of a model folder as published on the hub: tokenizer.json beside its configuration."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain, islice, takewhile
from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer as Engine

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE
from speculatoviz.models.tokenizers.control import encode_rendered
from speculatoviz.models.tokenizers.hub_characters import SPACE, Characters, byte_of
from speculatoviz.models.tokenizers.hub_files import (
    chat_template,
    declared_ends,
    library_errors,
    read_settings,
    special_tokens,
    text_of,
    tokenizer_description,
)
from speculatoviz.models.tokenizers.limits import check_text
from speculatoviz.models.tokenizers.templates import ChatTemplate

# Ends of a turn or a text that checkpoints do not always declare among their end tokens.
_ENDS = frozenset(
    {
        "<|im_end|>",
        "<|endoftext|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<end_of_turn>",
        "<｜end▁of▁sentence｜>",
    }
)
_MOST_PROBES = 100


class HubTokenizer:
    """n_vocab: rows of the model's output, which may be more than there are tokens.

    Raises ModelError if the folder has no tokenizer that can be read.
    """

    def __init__(self, folder: Path, n_vocab: int) -> None:
        self.n_vocab = n_vocab
        self._lock = threading.Lock()
        described = tokenizer_description(folder)
        with library_errors(f"{folder}/tokenizer.json cannot be read", "Fetch the model again.", ModelError):
            self._engine = Engine.from_str(json.dumps(described))
            self._engine.no_truncation()  # a text is never cut off silently
            self._engine.no_padding()
            self._texts = {token: text for text, token in self._engine.get_vocab(with_added_tokens=True).items()}
            self._added = self._engine.get_added_tokens_decoder()
        self._config = read_settings(folder / "tokenizer_config.json")
        source = chat_template(folder, self._config)
        self._template = ChatTemplate(source, special_tokens(self._config)) if source else None
        self.eos_ids = frozenset(declared_ends(folder) | self._usual_ends())
        with library_errors(f"{folder}/tokenizer.json cannot be used", "Fetch the model again.", ModelError):
            self.beginning = self._raw_beginning()
            self._aliases = self._add_aliases()
        self.chat_beginning: tuple[int, ...] = ()  # the template decides, as with transformers
        self._characters = Characters(described, self._texts)
        self.token_bytes = lru_cache(maxsize=1 << 16)(self._token_bytes)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    @property
    def control_names(self) -> Mapping[str, int]:
        """The added tokens that are marked as special."""
        return {added.content: token for token, added in self._added.items() if added.special}

    def encode(self, text: str, *, special: bool) -> list[int]:
        """See `Tokenizer.encode`."""
        check_text(text)
        return self._encoded(text, text if special else "", special=special)

    def encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        """See `LocalTokenizer.encode_parts`.

        The engine gets one text with an alias in place of each control token, so that it strips, normalizes and splits
        as it does with the names. Names in the plain texts are text to it, and no user knows the aliases.
        """
        check_text("".join(part for part in parts if isinstance(part, str)))
        text = "".join(part if isinstance(part, str) else self._aliases[part] for part in parts)
        names = "".join(self._texts[part] for part in parts if isinstance(part, int))
        tokens = {self._engine.token_to_id(alias): token for token, alias in self._aliases.items()}
        return [tokens.get(token, token) for token in self._encoded(text, names, special=False)]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """See `Tokenizer.encode_chat`."""
        return encode_rendered(self, messages)

    def token_name(self, token: int) -> str:
        return printable(self._piece(token)) if token in self._texts else f"[{token}]"

    def render_chat(self, messages: Sequence[Message]) -> str:
        if self._template is None:
            raise BadRequestError(*NO_TEMPLATE)
        return self._template.render(messages)

    def close(self) -> None:
        """End the process that renders the template."""
        if self._template is not None:
            self._template.close()

    def entries(self) -> Iterator[VocabularyEntry]:
        known = (t for t in sorted(self._texts) if t < self.n_vocab and self._counts(t))
        return (VocabularyEntry(t, self._piece(t), self._control(t)) for t in known)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.entries())

    @property
    def _eos(self) -> str:
        return text_of(self._config.get("eos_token"))

    def _encoded(self, text: str, names: str, *, special: bool) -> list[int]:
        """names: a text with every name of a control token that becomes a token."""
        added = (token.content for token in self._added.values() if special or not token.special)
        self._characters.check_before(text, [*added, *self._aliases.values()])
        # The switch is the engine's, and requests are read while a run goes on.
        with self._lock, library_errors("The text cannot be tokenized", "Shorten or change it.", BadRequestError):
            self._engine.encode_special_tokens = not special
            ids = list(self._engine.encode(text, add_special_tokens=False).ids)
        self._characters.check_after(ids, names)
        return ids

    def _add_aliases(self) -> dict[int, str]:
        """Adds to each control token an alias, which the engine reads as a token in every text; aliases by token."""
        nonce = secrets.token_hex(8)
        marked = {token: added for token, added in self._added.items() if added.special}
        aliases = {token: f"\U000f0000{nonce}.{token}\U000f0001" for token in marked}
        self._engine.add_tokens(
            [
                AddedToken(
                    aliases[token],
                    single_word=added.single_word,
                    lstrip=added.lstrip,
                    rstrip=added.rstrip,
                    normalized=added.normalized,
                    special=False,
                )
                for token, added in marked.items()
            ]
        )
        return aliases

    def _raw_beginning(self) -> tuple[int, ...]:
        """What the post-processor puts before a text. transformers too reads no flag beside a tokenizer.json."""
        for text in chain("a0 ", islice(self._texts.values(), _MOST_PROBES)):
            encoding = self._engine.encode(text, add_special_tokens=True)
            if 0 in encoding.special_tokens_mask:
                marked = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
                return tuple(token for token, _ in takewhile(lambda pair: pair[1], marked))
        return ()

    def _counts(self, token: int) -> bool:
        """Padding does not, nor does SentencePiece's unknown token: GGUF files mark both as no part of the text."""
        name = self._texts.get(token)
        return name != f"[PAD{token}]" and not (self._characters.sentencepiece and name == "<unk>")

    def _control(self, token: int) -> bool:
        return token in self._added and bool(self._added[token].special)

    def _token_bytes(self, token: int) -> bytes:
        return b"" if self._control(token) or not self._counts(token) else self._piece(token)

    def _piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens written out; none for a row without one."""
        text = self._texts.get(token)
        if text is None:
            return b""
        if token in self._added:
            return text.encode()
        if self._characters.byte_level:
            letters = byte_of()
            return bytes(letters[c] for c in text) if letters.keys() >= set(text) else text.encode()
        if self._characters.sentencepiece and len(text) == 6 and text.startswith("<0x"):
            return bytes.fromhex(text[3:5])
        return text.replace(SPACE, " ").encode()

    def _usual_ends(self) -> set[int]:
        """End tokens that the tokenizer's configuration names, or that models usually have."""
        usual = {token for token, added in self._added.items() if added.special and added.content in _ENDS}
        return usual | {token for token, text in self._texts.items() if text == self._eos}
