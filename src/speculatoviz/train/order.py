"""What a training is asked to do; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speculatoviz.heads.file import HeadKind

Report = Callable[[str, float | None], None]  # a stage, and its share that is done
Writers = Literal["pytorch", "llamacpp"]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    source: the target's GGUF file. tokens: dialogues to have, of which what is missing is written. data: their
    folder. vocabulary: the most ids that the head can say. write_with: PyTorch is faster, llama.cpp the target itself.
    begin_with: a head of that kind to go on from, whose vocabulary it keeps.
    """

    kind: HeadKind
    target: str
    source: Path
    tokens: int
    out: Path
    data: Path
    steps: int
    vocabulary: int = 8192
    seed: int = 0
    threads: int | None = None
    slots: int = 96
    write_with: Writers = "pytorch"
    begin_with: Path | None = None
