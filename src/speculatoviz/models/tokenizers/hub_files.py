"""The files beside a model's weights, as published on the hub, that describe its tokenizer and chat template.

They come from others: whatever is not as expected raises ModelError, with the file's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speculatoviz.errors import ModelError, SpeculatoVizError, reason_of

_FETCH_AGAIN = "Fetch the model again, or choose another one."


def read_json(file: Path) -> Any:
    """The content of a JSON file; None if there is no such file."""
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}).", "Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON ({reason_of(error)}).", _FETCH_AGAIN) from error


def read_settings(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no such file."""
    content = read_json(file)
    if content is not None and not isinstance(content, dict):
        raise ModelError(f"{file} does not hold a JSON object.", _FETCH_AGAIN)
    return content or {}


def tokenizer_description(folder: Path) -> dict[str, Any]:
    """The content of tokenizer.json, with the control tokens marked that published files leave unmarked.

    Files of older models are converted by transformers.
    """
    file = folder / "tokenizer.json"
    described = read_json(file)
    if described is None:
        described = _converted(folder)
    if not (isinstance(described, dict) and isinstance(described.get("model"), dict)):
        raise ModelError(f"{file} describes no tokenizer.", _FETCH_AGAIN)
    added = described.setdefault("added_tokens", [])
    if not (isinstance(added, list) and all(map(_is_added_token, added))):
        raise ModelError(f"{file} has added tokens without an id or a text.", _FETCH_AGAIN)
    for token in added:
        token["special"] = _is_control(token)
    return described


def chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """The source of the chat template; None without one.

    As transformers finds it; the file of a processor, which models that read images have, comes last.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    source = config.get("chat_template") or read_settings(folder / "chat_template.json").get("chat_template")
    if isinstance(source, list):  # several, by name
        default = (entry for entry in source if isinstance(entry, dict) and entry.get("name") == "default")
        source = next(default, {}).get("template")
    return source if isinstance(source, str) else None


def special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """The texts of the named special tokens, model-specific ones included."""
    named = {key: token for key, token in config.items() if key.endswith("_token")}
    for group in ("model_specific_special_tokens", "extra_special_tokens"):
        named |= config[group] if isinstance(config.get(group), dict) else {}
    texts = {key: text_of(token) for key, token in named.items() if isinstance(token, dict | str)}
    return {key: text for key, text in texts.items() if text}


def declared_ends(folder: Path) -> set[int]:
    """Ids of end tokens that the generation settings or the model's configuration name."""
    ends = set[int]()
    for name in ("generation_config.json", "config.json"):
        declared = read_settings(folder / name).get("eos_token_id")
        listed = declared if isinstance(declared, list) else [declared]
        ends.update(token for token in listed if isinstance(token, int) and not isinstance(token, bool))
    return ends


def text_of(token: Any) -> str:
    """A token as configurations write it: its text, or an object with its content."""
    return str(token.get("content") or "") if isinstance(token, dict) else str(token or "")


@contextmanager
def library_errors(sentence: str, hint: str, error_class: type[SpeculatoVizError]) -> Iterator[None]:
    """Turns what the library tokenizers raises into an error in words. Its panics are no subclass of Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = reason_of(error)
        raise error_class(f"{sentence} ({reason}).", hint) from error


def _converted(folder: Path) -> Any:
    """Older folders hold only SentencePiece's own file, which transformers converts."""
    try:
        from transformers import AutoTokenizer

        engine = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
        return json.loads(engine.to_str())
    except Exception as error:  # the library raises whatever its parts do
        raise ModelError(
            f"{folder} has no tokenizer that can be read ({reason_of(error)}).", "Choose a model with a tokenizer.json."
        ) from error


def _is_added_token(token: Any) -> bool:
    return isinstance(token, dict) and isinstance(token.get("content"), str) and isinstance(token.get("id"), int)


def _is_control(token: dict[str, Any]) -> bool:
    """Published files leave some control tokens (those of fill-in-the-middle) unmarked; GGUF files mark all these."""
    content = token["content"]
    return bool(token.get("special")) or (content.startswith("<|") and content.endswith("|>"))
