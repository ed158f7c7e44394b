"""The engines that this program writes settings for, and the releases whose names it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Engine = Literal["vllm", "sglang", "llama.cpp", "transformers"]


class AboutEngine(NamedTuple):
    """title: as its makers write it. release: whose flags and fields are known here."""

    title: str
    release: str


ENGINES: Mapping[Engine, AboutEngine] = {
    "vllm": AboutEngine("vLLM", "0.33.0"),
    "sglang": AboutEngine("SGLang", "0.5.23"),
    "llama.cpp": AboutEngine("llama-server", "October 2026"),
    "transformers": AboutEngine("transformers", "5.23.0"),
}
