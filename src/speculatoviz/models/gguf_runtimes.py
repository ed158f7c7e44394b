"""Opens GGUF files on the runtime that is named. Its library is imported then, and no other one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speculatoviz.models.files.names import Runtime
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.tokenizers.llamacpp import LlamaCppTokenizer, VocabularyFile


def open_gguf(
    runtime: Runtime,
    path: Path,
    cells: int,
    threads: int | None,
    name: str | None = None,
    source: Path | None = None,
    *,
    trial: bool = False,
    hidden: bool = False,
    layers: bool = False,
) -> SequenceModel:
    """Load a file on llamacpp or ik; arguments and errors as for `LlamaCppModel`.

    hidden: feeds will ask for hidden states, which every pass of ik then pays for.
    """
    if runtime == "ik":
        from speculatoviz.models.runtimes.ik import IkModel

        return IkModel(path, cells, threads, name, source, watched=hidden or layers)
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

    return LlamaCppModel(path, cells, threads, name, source, trial=trial, layers=layers)


def open_vocabulary(runtime: Runtime, path: Path) -> LlamaCppTokenizer:
    """The tokenizer of a file, read by llamacpp or ik. Raises ModelError."""
    if runtime == "ik":
        from speculatoviz.models.runtimes.ik import read_vocabulary

        return read_vocabulary(path)
    return VocabularyFile(path)


def gguf_library(runtime: Runtime) -> Any:
    """The functions of the runtime's library, under llama.cpp's names."""
    if runtime == "ik":
        from speculatoviz.models.runtimes.ik_api import library

        return library()
    from llama_cpp import llama_cpp

    return llama_cpp
