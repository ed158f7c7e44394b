"""What a training is asked to do. Needs no PyTorch, so that commands can be checked without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WriteWith = Literal["pytorch", "llamacpp"]
TrainKind = Literal["eagle", "medusa", "eagle3", "p-eagle"]
LAYERED: frozenset[TrainKind] = frozenset({"eagle3", "p-eagle"})  # on inner layers, published as folders


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation whose answer a head is scored on. messages: (role, content) of each turn."""

    category: str
    messages: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Questions:
    """Those of a file. name: the file's, without its folder. tokens: the most tokens of an answer."""

    name: str
    questions: tuple[Question, ...]
    tokens: int = 96


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A head to train for a target.

    kind: of the head. target: its name, for the head's file. source: its GGUF file. tokens: to train on; what `data`
    does not hold yet is written. texts: folders of texts that the target reads; text_share: of the tokens, if they hold
    as many. validate: prompts that the head is scored on by category, and never trained on. out: the head's file, or
    folder (eagle3, p-eagle). data: the folder of the dialogues. steps: of training. vocabulary: the most ids that the
    head can draft. threads: by default all cores. slots: dialogues written at once. write_with: what writes them;
    PyTorch is faster, llama.cpp is the target itself. begin_with: a head of that kind whose weights and vocabulary the
    training begins with. device: that PyTorch computes on; auto: a GPU if there is one. unroll: tokens of a draft that
    an eagle3 or p-eagle head is trained for. layers: the inner layers whose inputs such a head reads; None: the usual.
    """

    kind: TrainKind
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
    device: str = "auto"
    unroll: int = 5
    layers: tuple[int, ...] | None = None
    texts: tuple[Path, ...] = ()
    text_share: float = 0.5
    validate: Questions | None = None
