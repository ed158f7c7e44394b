"""Dialogues on disk: tokens, who wrote them, and the target's hidden states, in shards of safetensors.

A shard is written under another name and renamed: what has its name is whole, and an interruption costs the
dialogues that no shard held yet. Several writers may fill one folder at once, each with shards of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from speculatoviz.core.types import Ints
from speculatoviz.errors import TrainError

Author = Literal["template", "question", "answer"]
AUTHORS: tuple[Author, ...] = ("template", "question", "answer")

_DESCRIPTION = "corpus.json"
_MOST_WRITERS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Dialogue:
    """What one context held: tokens int32[n], authors uint8[n] (places in AUTHORS), states float16[n, D].

    states[i] is the hidden state behind tokens[i], as the output matrix sees it.
    """

    tokens: Ints
    authors: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def answer_tokens(self) -> int:
        return int((self.authors == AUTHORS.index("answer")).sum())


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that a corpus is of; dialogues of another do not belong into it."""

    target: str
    fingerprint: str
    hidden_size: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is."""

    tokens: int = 0
    answer_tokens: int = 0
    dialogues: int = 0


@dataclass(frozen=True, slots=True)
class _Header(Counts):
    """Of one shard, with the number of the dialogue that its writer begins with next."""

    next_dialogue: int = 0


class Corpus:
    """A folder of shards. Raises TrainError where it holds dialogues of another model."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        folder.mkdir(parents=True, exist_ok=True)
        description = folder / _DESCRIPTION
        with FileLock(folder / ".corpus.lock"):
            if not description.is_file():
                _replace(description, json.dumps(asdict(origin), indent=1).encode())
        found = json.loads(description.read_text(encoding="utf-8"))
        if found != asdict(origin):
            raise TrainError(
                f"{folder} holds dialogues of {found.get('target')}, not of {origin.target}.",
                "Choose another folder with --data.",
            )

    def shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def counts(self) -> Counts:
        """Sums over all shards, from their headers alone."""
        headers = [_header(path) for path in self.shards()]
        return Counts(
            sum(h.tokens for h in headers), sum(h.answer_tokens for h in headers), sum(h.dialogues for h in headers)
        )

    def dialogues(self) -> Iterator[Dialogue]:
        """All of them, in the order of their shards; states are read as they are asked for."""
        for path in self.shards():
            yield from _read(path)

    def writer(self) -> Writer:
        """A writer of its own among all that fill the folder now. Raises TrainError where there are too many."""
        for number in range(_MOST_WRITERS):
            lock = FileLock(self.folder / f".writer-{number:02}.lock", blocking=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            return Writer(self, number, lock)
        raise TrainError(f"{_MOST_WRITERS} processes write into {self.folder}.", "Wait for one of them to end.")


class Writer:
    """Gathers dialogues into shards. Resumes behind the last whole shard of the same number."""

    def __init__(self, corpus: Corpus, number: int, lock: FileLock) -> None:
        self.number = number
        self._corpus, self._lock = corpus, lock
        self._own = sorted(corpus.folder.glob(f"{number:02}-*.safetensors"))
        self.next_dialogue = _header(self._own[-1]).next_dialogue if self._own else 0

    def write(self, dialogues: Sequence[Dialogue], next_dialogue: int) -> None:
        """One shard. next_dialogue: the number that a resumed writer begins with."""
        header = _Header(
            sum(map(len, dialogues)), sum(d.answer_tokens for d in dialogues), len(dialogues), next_dialogue
        )
        path = self._corpus.folder / f"{self.number:02}-{len(self._own):05}.safetensors"
        partial = path.with_suffix(".partial")
        arrays = {
            "tokens": np.concatenate([d.tokens for d in dialogues]),
            "authors": np.concatenate([d.authors for d in dialogues]),
            "states": np.concatenate([d.states for d in dialogues]),
            "lengths": np.array([len(d) for d in dialogues], np.int32),
        }
        save_file(arrays, partial, {name: str(value) for name, value in asdict(header).items()})
        partial.replace(path)
        self._own.append(path)
        self.next_dialogue = next_dialogue

    def close(self) -> None:
        self._lock.release()


def _header(path: Path) -> _Header:
    try:
        with safe_open(path, framework="numpy") as file:
            found: Mapping[str, str] = file.metadata() or {}
        return _Header(**{name: int(found[name]) for name in asdict(_Header())})
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise _broken(path, error) from error


def _read(path: Path) -> Iterator[Dialogue]:
    try:
        with safe_open(path, framework="numpy") as file:
            tokens, authors, lengths = (file.get_tensor(name) for name in ("tokens", "authors", "lengths"))
            states, start = file.get_slice("states"), 0
            for end in np.cumsum(lengths).tolist():
                yield Dialogue(tokens[start:end], authors[start:end], states[start:end])
                start = end
    except (SafetensorError, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> TrainError:
    return TrainError(f"{path} is not a shard of dialogues ({error}).", "Remove it: what it held is written anew.")


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
