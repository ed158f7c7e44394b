"""What a name or a local folder says of a drafter: its kind, and its context."""

from __future__ import annotations

import re
from typing import Literal

from speculatoviz.errors import SpeculatoVizError
from speculatoviz.models.files import gguf
from speculatoviz.models.files.config import read_config, text_config
from speculatoviz.models.files.source import is_file, is_folder, local_path

Kind = Literal["eagle", "eagle3", "dflash", "dspark", "mtp", "medusa"]

# The first that matches; a name part that several kinds share comes last.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("eagle3", re.compile(r"eagle[-_.]?3", re.IGNORECASE)),
    ("dflash", re.compile(r"dflash", re.IGNORECASE)),
    ("dspark", re.compile(r"dspark", re.IGNORECASE)),
    ("medusa", re.compile(r"medusa", re.IGNORECASE)),
    ("mtp", re.compile(r"(?<![a-z])mtp(?![a-z])|nextn", re.IGNORECASE)),
    ("eagle", re.compile(r"(?<![a-z])(?<!p-)(?<!p_)eagle(?![-_.]?4)", re.IGNORECASE)),  # not P-EAGLE, not EAGLE-4
)


def kind_of(name: str) -> Kind | None:
    """The kind of head that a folder's configuration or a file's architecture states, else the name; None for none."""
    stated = _stated(name)
    if stated:
        return _kind(stated)
    return _kind(re.split(r"[/\\]", name.rstrip("/\\"))[-1])


def context_of(name: str) -> int | None:
    """The context in tokens that a local GGUF file or folder states; None without one."""
    path = local_path(name)
    try:
        if is_file(path):
            found = gguf.read(path)
            return found.integer(f"{found.architecture}.context_length")
        if is_folder(path):
            value = text_config(read_config(path)).get("max_position_embeddings")
            return value if isinstance(value, int) else None
    except SpeculatoVizError:
        return None
    return None


def _stated(name: str) -> str:
    path = local_path(name)
    try:
        if is_file(path):
            return gguf.read(path).architecture or ""
        if is_folder(path):
            config = read_config(path)
            listed = config.get("architectures")
            first = listed[0] if isinstance(listed, list) and listed else ""
            return str(config.get("speculators_model_type") or first)
    except SpeculatoVizError:
        return ""
    return ""


def _kind(text: str) -> Kind | None:
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), None)
