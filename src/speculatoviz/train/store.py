"""Dialogues on disk: tokens, their authors, and what the target computed for them, in shards of safetensors.

A shard is written under another name and renamed: a file with a shard's name is whole, and an interruption loses the
dialogues that no shard holds yet. Several processes may fill one folder at once, each with shards of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import TrainError, reason_of

Author = Literal["template", "question", "answer", "text"]  # text: what the target read and did not write
AUTHORS: tuple[Author, ...] = ("template", "question", "answer", "text")

_DESCRIPTION = "corpus.json"
_DIALOGUES = "[0-9][0-9]-[0-9]*.safetensors"  # other shards of the folder have other names
_RECIPE = "recipe"  # the key of a shard's metadata
_LAYERS = "layers"  # the name of a shard's tensor
_MOST_WRITERS = 64
_LARGEST = float(np.finfo(np.float16).max)

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class StoredRows:
    """float16[n, D] in a file, read where it is used: a corpus may be larger than memory.

    offset: of its first byte in the file. Reading raises TrainError if the file is shorter, or cannot be read.
    """

    path: Path
    offset: int
    shape: tuple[int, int]

    def __getitem__(self, rows: slice) -> Halves:
        start, end, _ = rows.indices(self.shape[0])
        width = self.shape[1]
        try:
            found = np.fromfile(self.path, np.float16, (end - start) * width, offset=self.offset + 2 * width * start)
            return found.reshape(end - start, width)
        except (OSError, ValueError) as error:
            raise broken(self.path, "a shard of dialogues", error) from error

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        del copy  # what was read from a file is a copy
        return self[:] if dtype is None else self[:].astype(dtype)

    def part(self, start: int, end: int) -> StoredRows:
        """Rows start to end - 1."""
        return StoredRows(self.path, self.offset + 2 * self.shape[1] * start, (end - start, self.shape[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Dialogue:
    """One dialogue: tokens int32[n], authors uint8[n] (indices into AUTHORS), states float16[n, D].

    states[i] is the target's hidden state after tokens[i], as the output matrix multiplies it. layers float16[n, L * D]
    or None: layers[i] holds the inputs of L inner layers at tokens[i].
    """

    tokens: Ints
    authors: npt.NDArray[np.uint8]
    states: Halves | StoredRows
    layers: Halves | StoredRows | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def answer_tokens(self) -> int:
        """How many of its tokens are of an answer."""
        return int((self.authors == AUTHORS.index("answer")).sum())


def half(numbers: Floats) -> Halves:
    """Numbers as float16. Those beyond its range become its largest one: a few numbers of inner layers are."""
    return np.clip(numbers, -_LARGEST, _LARGEST).astype(np.float16)


@dataclass(frozen=True, slots=True)
class CorpusOrigin:
    """The model that wrote a corpus, and the inner layers whose inputs it records. A corpus has one origin."""

    target: str
    fingerprint: str
    hidden_size: int
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """The size of a corpus, or of a shard."""

    tokens: int = 0
    answer_tokens: int = 0
    dialogues: int = 0


@dataclass(frozen=True, slots=True)
class _Header(Counts):
    """Of one shard. next_dialogue: the number of the dialogue that its writer begins next."""

    next_dialogue: int = 0


class Corpus:
    """A folder of shards.

    origin: of what is trained; a folder that records layers also serves heads that read none. layers: those that the
    folder records. Raises TrainError if it cannot be used, or holds dialogues of another model or without the layers.
    """

    def __init__(self, folder: Path, origin: CorpusOrigin) -> None:
        self.folder = folder
        description = folder / _DESCRIPTION
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not description.is_file():
                with FileLock(folder / ".corpus.lock"):
                    if not description.is_file():
                        _replace(description, json.dumps(asdict(origin), indent=1).encode())
            found = _read_description(description)
        self.layers = _recorded(description, found)
        if {**found, "layers": ()} != {**asdict(origin), "layers": ()}:
            raise TrainError(
                f"{folder} holds dialogues of {found.get('target')}, not of {origin.target}.",
                "Choose another folder with --data.",
            )
        if origin.layers and self.layers != origin.layers:
            recorded = f"the layers {_listed(self.layers)}" if self.layers else "no inner layers"
            raise TrainError(
                f"{folder} holds dialogues with the inputs of {recorded}, and this head reads the layers "
                f"{_listed(origin.layers)}.",
                "Choose another folder with --data.",
            )

    def shards(self) -> list[Path]:
        """The files of all shards of dialogues, in the order of their names."""
        return sorted(self.folder.glob(_DIALOGUES))

    def counts(self) -> Counts:
        """Sums over all shards, from their headers alone. Raises TrainError for a damaged shard."""
        headers = [_header(path) for path in self.shards()]
        return Counts(
            sum(h.tokens for h in headers), sum(h.answer_tokens for h in headers), sum(h.dialogues for h in headers)
        )

    def recipes(self) -> list[Mapping[str, Any] | None]:
        """How the dialogues were written, each way once; None if a shard does not record it."""
        return [_recipe(text) for text in dict.fromkeys(metadata(path).get(_RECIPE) for path in self.shards())]

    def dialogues(self) -> Iterator[Dialogue]:
        """All dialogues, in the order of their shards, read as they are asked for. Raises TrainError like `counts`."""
        for path in self.shards():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[Dialogue]:
        """The dialogues of one shard. Raises TrainError if it is damaged, or lacks the layers of the corpus."""
        yield from _read(path, layered=bool(self.layers))

    def save(self, path: Path, dialogues: Sequence[Dialogue], described: Mapping[str, str]) -> None:
        """Write one shard, which is whole or not there. described: its metadata.

        Raises TrainError if it cannot be written.
        """
        partial = path.with_suffix(".partial")
        arrays = {
            "tokens": np.concatenate([d.tokens for d in dialogues]),
            "authors": np.concatenate([d.authors for d in dialogues]),
            "states": np.concatenate([np.asarray(d.states) for d in dialogues]),
            "lengths": np.array([len(d) for d in dialogues], np.int32),
        }
        if self.layers:
            arrays[_LAYERS] = np.concatenate([np.asarray(d.layers) for d in dialogues])
        with write_errors(path):
            save_file(arrays, partial, dict(described))
            partial.replace(path)

    def writer(self) -> ShardWriter:
        """A writer with a number that no running process has. Raises TrainError if all numbers are taken."""
        for number in range(_MOST_WRITERS):
            lock = FileLock(self.folder / f".writer-{number:02}.lock", blocking=False)
            try:
                with write_errors(self.folder):
                    lock.acquire()
            except Timeout:
                continue
            return ShardWriter(self, number, lock)
        raise TrainError(f"{_MOST_WRITERS} processes write into {self.folder}.", "Wait for one of them to end.")


class ShardWriter:
    """Writes dialogues into shards of its number. Resumes after the last whole shard of that number."""

    def __init__(self, corpus: Corpus, number: int, lock: FileLock) -> None:
        self.number = number
        self._corpus, self._lock = corpus, lock
        self._own = sorted(corpus.folder.glob(f"{number:02}-*.safetensors"))
        self.next_dialogue = _header(self._own[-1]).next_dialogue if self._own else 0

    def write(self, dialogues: Sequence[Dialogue], next_dialogue: int, recipe: Mapping[str, Any] | None = None) -> None:
        """Write one shard. next_dialogue: the number that a resumed writer begins with. recipe: how they were written.

        Raises TrainError if it cannot be written.
        """
        header = _Header(
            sum(map(len, dialogues)), sum(d.answer_tokens for d in dialogues), len(dialogues), next_dialogue
        )
        path = next_shard(self._corpus.folder, f"{self.number:02}", self._own)
        described = {name: str(value) for name, value in asdict(header).items()}
        if recipe is not None:
            described[_RECIPE] = json.dumps(recipe, sort_keys=True)
        self._corpus.save(path, dialogues, described)
        self._own.append(path)
        self.next_dialogue = next_dialogue

    def close(self) -> None:
        """Free the number for other processes."""
        self._lock.release()


def next_shard(folder: Path, prefix: str, shards: Sequence[Path]) -> Path:
    """The file after the last of `shards`, whose names are prefix-NUMBER. Shards before it may have been removed."""
    last = int(shards[-1].stem.removeprefix(f"{prefix}-")) if shards else -1
    return folder / f"{prefix}-{last + 1:05}.safetensors"


@contextmanager
def write_errors(path: Path, hint: str = "Free disk space, or choose another folder with --data.") -> Iterator[None]:
    """Turns the errors of a file or folder that cannot be written or read into TrainError."""
    try:
        yield
    except Timeout:  # an OSError, but no fault of the folder
        raise
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{path} cannot be used ({reason_of(error)}).", hint) from error


@contextmanager
def alone(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Held by one process at a time. lock: a file. waiting: called if another process holds it.

    Raises TrainError if the file cannot be written.
    """
    held = FileLock(lock)
    with write_errors(lock.parent):
        try:
            held.acquire(blocking=False)
        except Timeout:
            waiting()
            held.acquire()
    try:
        yield
    finally:
        held.release()


def _recipe(text: str | None) -> Mapping[str, Any] | None:
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read_description(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise broken(path, "the description of a corpus", error) from error
    if not isinstance(found, dict):
        raise broken(path, "the description of a corpus", TypeError("no JSON object"))
    return found


def _recorded(path: Path, description: dict[str, Any]) -> tuple[int, ...]:
    found = description.get("layers", [])
    if not isinstance(found, list) or not all(type(layer) is int for layer in found):
        raise broken(path, "the description of a corpus", TypeError("its layers are no list of numbers"))
    return tuple(found)


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))


def metadata(path: Path) -> Mapping[str, str]:
    """What a shard states of itself. Raises TrainError if it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise broken(path, "a shard of dialogues", error) from error


def _header(path: Path) -> _Header:
    found = metadata(path)
    try:
        return _Header(**{name: int(found[name]) for name in asdict(_Header())})
    except (KeyError, ValueError) as error:
        raise broken(path, "a shard of dialogues", error) from error


def _read(path: Path, *, layered: bool) -> Iterator[Dialogue]:
    try:
        with safe_open(path, framework="numpy") as file:  # which checks that the file is whole
            tokens, authors, lengths = (file.get_tensor(name) for name in ("tokens", "authors", "lengths"))
        rows = _stored_rows(path)
        states, layers = rows["states"], rows[_LAYERS] if layered else None
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise broken(path, "a shard of dialogues", error) from error
    start = 0
    for end in np.cumsum(lengths).tolist():
        own = None if layers is None else layers.part(start, end)
        yield Dialogue(tokens[start:end], authors[start:end], states.part(start, end), own)
        start = end


def _stored_rows(path: Path) -> dict[str, StoredRows]:
    """The float16 matrices of a safetensors file: its length of the header (8 bytes), the header in JSON, the data."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    return {
        name: StoredRows(path, 8 + size + tensor["data_offsets"][0], tuple(tensor["shape"]))
        for name, tensor in header.items()
        if tensor.get("dtype") == "F16"
    }


def broken(path: Path, what: str, error: Exception) -> TrainError:
    """The error of a file that does not hold `what`."""
    return TrainError(f"{path} is not {what} ({reason_of(error)}).", "Remove it: what it held is written anew.")


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
