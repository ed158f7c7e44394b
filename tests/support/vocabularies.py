"""Small vocabularies with control tokens and chat templates, as GGUF files and as folders of the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.tiny_gguf import TOKEN_TYPE, Value, write_tiny

BOS, EOS, TURN, END = "<s>", "</s>", "<|im_start|>", "<|im_end|>"
CONTROL = (BOS, EOS, TURN, END, "<|endoftext|>")  # at ids 1 to 5

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
LETTERS = [chr(c) for c in range(0x20, 0x7F)]
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_SPACE = "\u2581"


def byte_letters() -> list[str]:
    """The printable characters that byte-level vocabularies write for the bytes 0 to 255."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def write_gguf(path: Path, kind: str, template: str = CHATML, name: str = "tiny", **fields: Value) -> Path:
    """A GGUF file with the control tokens at ids 1 to 5.

    kind: "spm" or "bpe". name: of the model, by which llama.cpp knows some tokenizers. fields: further ones of
    `tokenizer.ggml`.
    """
    if kind == "spm":
        byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
        pieces = ["\u2581a", "\u2581the", "th", "\u2581", *LETTERS[1:]]
        tokens = ["<unk>", *CONTROL, *byte_tokens, *pieces]
        types = [TOKEN_TYPE.UNKNOWN, *[TOKEN_TYPE.CONTROL] * len(CONTROL), *[TOKEN_TYPE.BYTE] * 256]
        own: dict[str, Value] = {"model": "llama", "scores": [-float(place) for place in range(len(tokens))]}
    else:
        tokens = ["!!", *CONTROL, *byte_letters(), "th", "the", "\u0120a"]
        types = [TOKEN_TYPE.NORMAL, *[TOKEN_TYPE.CONTROL] * len(CONTROL)]
        own = {"model": "gpt2", "pre": "gpt-2", "merges": ["t h", "th e", "\u0120 a", "! !"]}
    types += [TOKEN_TYPE.NORMAL] * (len(tokens) - len(types))
    ids: dict[str, Value] = {"bos_token_id": 1, "eos_token_id": 2}
    given = {"tokens": tokens, "token_type": [int(kind) for kind in types]} | own | ids | fields
    named = {f"tokenizer.ggml.{key}": value for key, value in given.items()}
    model: dict[str, Value] = {"general.name": name, "{arch}.vocab_size": len(tokens)}
    return write_tiny(path, "none", fields={"tokenizer.chat_template": template, **model, **named})


def write_folder(
    folder: Path,
    kind: str,
    template: str = CHATML,
    *,
    added: Mapping[str, bool] | None = None,
    config: Mapping[str, Any] | None = None,
    **described: Any,
) -> Path:
    """A folder with a tokenizer.json, the control tokens at ids 1 to 5.

    kind: "bytes", or "pieces" as SentencePiece has it. added: flags of the control tokens. config: of
    tokenizer_config.json. described: parts of tokenizer.json instead of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bytes":
        merges, own = ["t h", "th e", "\u0120 a", "! !"], _byte_level()
        pieces = [*byte_letters(), "th", "the", "\u0120a", "!!"]
    else:
        merges, own = [f"{_SPACE} a", "t h", "th e", f"{_SPACE} the"], _sentencepiece()
        pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), _SPACE, *LETTERS[1:]]
        pieces += [f"{_SPACE}a", "th", "the", f"{_SPACE}the"]
    vocabulary = {token: place for place, token in enumerate(["<unk>", *CONTROL, *pieces])}
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges, **own.pop("model")}
    flags = _FLAGS | dict(added or {})
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": place, "content": token, **flags} for place, token in enumerate(CONTROL, 1)],
        "normalizer": None,
        "post_processor": None,
        "model": model,
        **own,
        **described,
    }
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, **(config or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    return folder


def around(*, bos: bool, eos: bool) -> dict[str, Any]:
    """A post-processor that puts BOS before a text, and EOS after it."""
    special = {token: {"id": token, "ids": [CONTROL.index(token) + 1], "tokens": [token]} for token in (BOS, EOS)}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    single: list[dict[str, Any]] = [{"SpecialToken": {"id": BOS, "type_id": 0}}] if bos else []
    single += [text, *([{"SpecialToken": {"id": EOS, "type_id": 0}}] if eos else [])]
    pair = [text, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def _byte_level() -> dict[str, Any]:
    part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"model": {}, "pre_tokenizer": part, "decoder": part}


def _sentencepiece() -> dict[str, Any]:
    """As newer conversions have it: a space goes before the first piece of a text, not after every control token."""
    space = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "first", "split": False}
    decoders = [{"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}, {"type": "ByteFallback"}]
    return {
        "model": {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
        "pre_tokenizer": space,
        "decoder": {"type": "Sequence", "decoders": [*decoders, {"type": "Fuse"}]},
    }
