"""From a model's name to a loaded model. Runtimes are imported only when named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel


def load_model(
    name: str,
    *,
    context_tokens: int,
    threads: int | None,
    quantisation: str | None,
    cache_dir: Path,
    progress: Callable[[str, int, int], None],
) -> LanguageModel:
    """Load a catalogue name, `llamacpp:PATH`, a GGUF path or hub file, or `toy:SEED`, fetching it if need be.

    quantisation: requantise the file once to this type. Raises ModelError.
    """
    if name.startswith("toy:"):
        return _toy(name)
    _share_cores()
    from speculatoviz.models import catalogue
    from speculatoviz.models.llamacpp import LlamaCppModel

    path = catalogue.resolve(name, cache_dir, progress)
    if quantisation is not None:
        from speculatoviz.models.requantise import requantise

        progress("requantising", 0, 1)
        path = requantise(path, quantisation, cache_dir, threads or usable_cores())
    progress("loading", 0, 1)
    return LlamaCppModel(path, context_tokens, threads, name if name in catalogue.CATALOGUE else None)


def _share_cores() -> None:
    """Let llama.cpp's threads wait briefly instead of long, before its OpenMP runtime is loaded.

    A pass is some hundred barriers. Threads that spin through them keep a browser or another process from running
    and are descheduled in its turn: on two busy cores a pass then takes several times as long. A short spin costs
    about two percent on idle ones.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _toy(name: str) -> LanguageModel:
    from speculatoviz.models.toy import ALPHABET, ToyModel

    seed, _, mix = name.removeprefix("toy:").partition("~")
    if not seed.isdigit() or (mix and not mix.isdigit()):
        raise ModelError(f"{name!r} is not a toy model.", "Write toy:0, or toy:0~7 for one related to it.")
    return ToyModel(int(seed), ALPHABET, mix=(int(mix), 0.5) if mix else None)
