"""What a training is asked to do. Needs no PyTorch, so that commands can be checked without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speculatoviz.heads.file import HeadKind

WriteWith = Literal["pytorch", "llamacpp"]


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A head to train for a target.

    kind: of the head. target: its name, for the head's file. source: its GGUF file. tokens: of dialogues to train on;
    what `data` does not hold yet is written. out: the head's file. data: the folder of the dialogues. steps: of
    training. vocabulary: the most ids that the head can draft. threads: by default all cores. slots: dialogues written
    at once. write_with: what writes them; PyTorch is faster, llama.cpp is the target itself. begin_with: a head of that
    kind whose weights and vocabulary the training begins with.
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
    write_with: WriteWith = "pytorch"
    begin_with: Path | None = None
