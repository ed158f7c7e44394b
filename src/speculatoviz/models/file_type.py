"""The names of the quantisations of whole GGUF files."""

from __future__ import annotations

from speculatoviz.models.base import UNKNOWN


def file_type(code: str | None) -> str:
    """The name of a number of `general.file_type`: "Q4_K_M" for 15."""
    from gguf import LlamaFileType

    if code is None:
        return UNKNOWN
    if not code.isdecimal() or int(code) not in set(LlamaFileType):
        return f"type {code}"
    return LlamaFileType(int(code)).name.removeprefix("MOSTLY_").removeprefix("ALL_")
