"""The tokenizer of a model folder as published on the hub: tokenizer.json beside its configuration."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Engine

from speculatoviz.core.text import printable
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Message, VocabularyEntry, fingerprint
from speculatoviz.models.tokenizers.chat import NO_TEMPLATE
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
_SPACE = "\u2581"  # SentencePiece's mark for a space


class HubTokenizer:
    """n_vocab: rows of the model's output, which may be more than there are tokens.

    Raises ModelError where the folder has no tokenizer that can be read.
    """

    def __init__(self, folder: Path, n_vocab: int) -> None:
        self.n_vocab = n_vocab
        self._lock = threading.Lock()
        described = _engine_json(folder)
        for token in described["added_tokens"]:
            token["special"] = _is_control(token)
        try:
            self._engine = Engine.from_str(json.dumps(described))
        except Exception as error:  # what the library raises
            raise ModelError(f"{folder}/tokenizer.json cannot be read ({error}).", "Fetch the model again.") from error
        self._added = self._engine.get_added_tokens_decoder()
        decoders = json.dumps(described.get("decoder"))
        self._byte_level = '"ByteLevel"' in decoders
        self._sentencepiece = not self._byte_level and ('"ByteFallback"' in decoders or _SPACE in decoders)
        self._config = _read(folder / "tokenizer_config.json")
        source = _template_source(folder, self._config)
        self._template = ChatTemplate(source, _special_tokens(self._config)) if source else None
        self.eos_ids = frozenset(self._declared_ends(folder) | self._usual_ends())
        self.token_bytes = lru_cache(maxsize=1 << 16)(self._token_bytes)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    def encode(self, text: str, *, special: bool) -> list[int]:
        """A rendered template (`special`) brings its own beginning; other text gets the model's, if it has one."""
        with self._lock:  # the switch is the engine's, and requests are read while a run goes on
            self._engine.encode_special_tokens = not special
            return list(self._engine.encode(text, add_special_tokens=not special).ids)

    def token_name(self, token: int) -> str:
        return printable(self._piece(token)) if self._engine.id_to_token(token) is not None else f"[{token}]"

    def render_chat(self, messages: Sequence[Message]) -> str:
        if self._template is None:
            raise BadRequestError(*NO_TEMPLATE)
        return self._template.render(messages)

    def close(self) -> None:
        """End the process that renders the template."""
        if self._template is not None:
            self._template.close()

    def entries(self) -> Iterator[VocabularyEntry]:
        used = sorted(set(self._engine.get_vocab(with_added_tokens=True).values()))
        known = (t for t in used if t < self.n_vocab and self._counts(t))
        return (VocabularyEntry(t, self._piece(t), self._control(t)) for t in known)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.entries())

    @property
    def _eos(self) -> str:
        return _text(self._config.get("eos_token"))

    def _counts(self, token: int) -> bool:
        """Padding does not, nor does SentencePiece's unknown token: GGUF files mark both as no part of the text."""
        name = self._engine.id_to_token(token)
        return name != f"[PAD{token}]" and not (self._sentencepiece and name == "<unk>")

    def _control(self, token: int) -> bool:
        return token in self._added and bool(self._added[token].special)

    def _token_bytes(self, token: int) -> bytes:
        return b"" if self._control(token) or not self._counts(token) else self._piece(token)

    def _piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens written out; none for a row without one."""
        text = self._engine.id_to_token(token)
        if text is None:
            return b""
        if token in self._added:
            return text.encode()
        if self._byte_level:
            return bytes(_byte_of()[character] for character in text)
        if self._sentencepiece and len(text) == 6 and text.startswith("<0x"):
            return bytes.fromhex(text[3:5])
        return text.replace(_SPACE, " ").encode()

    def _declared_ends(self, folder: Path) -> set[int]:
        """End tokens named by the generation settings, the model's configuration or the tokenizer's."""
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            declared = _read(folder / name).get("eos_token_id")
            ends |= {declared} if isinstance(declared, int) else set(declared or ())
        if self._eos and (token := self._engine.token_to_id(self._eos)) is not None:
            ends.add(token)
        return ends

    def _usual_ends(self) -> set[int]:
        return {token for token, added in self._added.items() if added.special and added.content in _ENDS}


def _is_control(token: dict[str, Any]) -> bool:
    """Published files leave some control tokens (those of fill-in-the-middle) unmarked; GGUF files mark all these."""
    content = token["content"]
    return bool(token["special"]) or (content.startswith("<|") and content.endswith("|>"))


def _engine_json(folder: Path) -> dict[str, Any]:
    described = _read(folder / "tokenizer.json")
    if not described:
        described = _converted(folder)
    if not isinstance(described.get("added_tokens"), list):
        raise ModelError(f"{folder}/tokenizer.json is not a tokenizer.", "Fetch the model again.")
    return described


def _converted(folder: Path) -> dict[str, Any]:
    """Older folders hold only SentencePiece's own file, which transformers converts."""
    from transformers import AutoTokenizer

    try:
        engine = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
        described: dict[str, Any] = json.loads(engine.to_str())
    except Exception as error:  # the library raises whatever its parts do
        raise ModelError(
            f"{folder} has no tokenizer that can be read ({error}).", "Choose a model with a tokenizer.json."
        ) from error
    return described


def _template_source(folder: Path, config: dict[str, Any]) -> str | None:
    """As transformers finds it; the file of a processor, which models that read images have, comes last."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    source = config.get("chat_template") or _read(folder / "chat_template.json").get("chat_template")
    if isinstance(source, list):  # several, by name
        default = (entry for entry in source if isinstance(entry, dict) and entry.get("name") == "default")
        source = next(default, {}).get("template")
    return source if isinstance(source, str) else None


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """The texts of the named special tokens, model-specific ones included."""
    named = {key: token for key, token in config.items() if key.endswith("_token")}
    for group in ("model_specific_special_tokens", "extra_special_tokens"):
        named |= config[group] if isinstance(config.get(group), dict) else {}
    texts = {key: _text(token) for key, token in named.items() if isinstance(token, dict | str)}
    return {key: text for key, text in texts.items() if text}


def _read(file: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. Raises ModelError for one that cannot be read."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is not valid JSON ({error}).", "Fetch the model again.") from error
    return content if isinstance(content, dict) else {}


def _text(token: Any) -> str:
    """A token as configurations write it: its text, or an object with its content."""
    return str(token.get("content") or "") if isinstance(token, dict) else str(token or "")


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """Byte-level vocabularies write every byte as a printable character: itself, or the next one from U+0100 on."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(byte): byte for byte in plain} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
