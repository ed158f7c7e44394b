"""The header of a GGUF file: its metadata, its tensors, and its parts if it is split. No runtime is needed.

Contract: `read` returns what the header describes, or raises ModelError in words. It never raises anything else,
whatever the bytes are, and allocates at most MOST_HEADER_BYTES. Weights are not read.

The package `gguf` has a reader as well. It makes four NumPy arrays of every string, 7 s for a vocabulary of 152,000
tokens, and a malformed header raises whatever NumPy raises. This reader steps over strings by their lengths, which
takes 60 ms. Types and block sizes are those of the package.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import BinaryIO, NoReturn

from speculatoviz.errors import ModelError

MOST_HEADER_BYTES = 256 << 20  # the longest known ones, with vocabularies of 260,000 tokens, have 30 MiB
MOST_SMALL_ITEMS = 4096  # arrays up to this length are always read: values per layer, languages, ...
_MOST_FIELDS, _MOST_TENSORS, _MOST_ITEMS = 1 << 16, 1 << 20, 1 << 24
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_MOST_KEY_BYTES = 65_535  # of the format; names of tensors are shorter
_MOST_STRING_BYTES = 16 << 20
_READ_BYTES = 1 << 20

# GGUFValueType: the scalar types with their struct codes; BOOL is read as a byte and checked.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_UINT16, _UINT32, _BOOL, STRING, ARRAY = 2, 4, 7, 8, 9
_STRUCTS = {code: struct.Struct(f"<{code}") for code in {*_SCALARS.values(), "I", "Q"}}
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)

Scalar = int | float | bool | str

_FETCH_AGAIN = "Fetch the file again, or choose another one."
_CHOOSE = "Choose a model in llama.cpp's GGUF format."


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of the metadata.

    type, item_type: numbers of gguf.GGUFValueType; item_type and count belong to arrays. value: None for an array
    that was not read. Strings keep bytes that are no UTF-8 as surrogate escapes, so that a copy is exact.
    """

    type: int
    value: Scalar | list[Scalar] | None
    item_type: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor's data is.

    type: a number of gguf.GGMLQuantizationType. shape: elements per dimension, the contiguous one first. path: the
    part that holds it. offset, size_bytes: in that part; of a type that the package `gguf` does not know, the size is
    the distance to the next tensor.
    """

    name: str
    type: int
    shape: tuple[int, ...]
    path: Path
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file, whole or split.

    parts: its files in order, the first one alone if it is not split. fields: the metadata of the first part.
    tensors: of all parts, by name. size_bytes: of all parts. headers: the bytes of every part before its weights.
    """

    parts: tuple[Path, ...]
    fields: Mapping[str, Field]
    tensors: Mapping[str, Tensor]
    size_bytes: int
    headers: tuple[bytes, ...] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file that a runtime is given: the first part."""
        return self.parts[0]

    @cached_property
    def stem(self) -> str:
        """The file's name without its ending, and without the number of a part."""
        found = _PART.fullmatch(self.path.name) if len(self.parts) > 1 else None
        return found["stem"] if found else self.path.stem

    @property
    def architecture(self) -> str | None:
        return self.text("general.architecture")

    def text(self, key: str) -> str | None:
        """The string of that key; None if there is none, or the value is no string."""
        found = self.fields.get(key)
        return found.value if found is not None and isinstance(found.value, str) else None

    def integer(self, key: str) -> int | None:
        """The integer of that key; None if there is none, or the value is no integer."""
        found = self.fields.get(key)
        value = None if found is None else found.value
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read(path: Path, *, large_arrays: bool = False) -> GgufFile:
    """The header of a file, of all its parts if it is split.

    path: the file, or the first part. large_arrays: read arrays of more than MOST_SMALL_ITEMS items too, such as
    vocabularies. Raises ModelError if the file cannot be read, is no GGUF file of version 2 or 3, has a malformed
    header, is shorter than its tensors, or is a split file with parts missing or named in another order.
    """
    first = _read_part(path, large_arrays)
    headers = [first]
    count = _split(first, "split.count", 1)
    if count > 1:
        headers += [_read_further_part(first, number, count) for number in range(1, count)]
    tensors: dict[str, Tensor] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in tensors:
                _refuse(path, f"it has two tensors named {tensor.name!r}", _FETCH_AGAIN)
            tensors[tensor.name] = tensor
    announced = _split(first, "split.tensors.count", len(tensors))
    if announced != len(tensors):
        _refuse(path, f"its parts hold {len(tensors)} of {announced} tensors", _FETCH_AGAIN)
    return GgufFile(
        tuple(header.path for header in headers),
        first.fields,
        tensors,
        sum(header.size_bytes for header in headers),
        tuple(header.raw for header in headers),
    )


def part_names(name: str) -> list[str]:
    """The names of all parts of the split file that `name` is a part of; `name` alone if it is not named as a part."""
    found = _PART.fullmatch(name)
    if found is None:
        return [name]
    count = int(found["count"])
    return [f"{found['stem']}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


# --- one file -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    fields: Mapping[str, Field]
    tensors: tuple[Tensor, ...]
    size_bytes: int
    raw: bytes = field(repr=False)


class _MalformedError(Exception):
    """What is wrong with a header, as the end of a sentence."""


def _refuse(path: Path, reason: str, hint: str) -> NoReturn:
    raise ModelError(f"{path} cannot be read as a GGUF file: {reason}.", hint)


def _read_part(path: Path, large_arrays: bool) -> _Part:
    try:
        if not path.is_file():  # a pipe would never end
            _refuse(path, "there is no such file", "Check the path.")
        with path.open("rb") as file:
            return _parse(path, _Cursor(file, path.stat().st_size), large_arrays)
    except _MalformedError as error:
        _refuse(path, str(error), _FETCH_AGAIN)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        _refuse(path, getattr(error, "strerror", None) or str(error), "Check the path, and that you may read it.")


def _parse(path: Path, cursor: _Cursor, large_arrays: bool) -> _Part:
    """Magic, version, counts, fields, descriptions of tensors, padding; then come the weights."""
    if cursor.bytes(min(4, cursor.size)) != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file.", _CHOOSE)
    version = cursor.scalar("I")
    if version not in (2, 3):
        swapped = version & 0xFFFF == 0 and version != 0
        raise _MalformedError(
            "it is written for processors of the other byte order"
            if swapped
            else f"its version is {version}, not 2 or 3"
        )
    n_tensors, n_fields = cursor.scalar("Q"), cursor.scalar("Q")
    if n_tensors > _MOST_TENSORS or n_fields > _MOST_FIELDS:
        raise _MalformedError(f"it announces {n_tensors} tensors and {n_fields} fields")
    fields: dict[str, Field] = {}
    for _ in range(n_fields):
        key = cursor.string(_MOST_KEY_BYTES)
        if key in fields:
            raise _MalformedError(f"the key {key!r} comes twice")
        fields[key] = _field(cursor, large_arrays)
    described = [_Described.read(cursor) for _ in range(n_tensors)]
    alignment = _alignment(fields)
    cursor.skip(-cursor.at % alignment if described else 0)
    tensors = tuple(_located(path, described, cursor.at, cursor.size, alignment))
    return _Part(path, fields, tensors, cursor.size, cursor.data[: cursor.at])


def _alignment(fields: Mapping[str, Field]) -> int:
    found = fields.get("general.alignment")
    if found is None:
        return 32
    value = found.value
    if found.type != _UINT32 or not isinstance(value, int) or value <= 0 or value & (value - 1) or value > 1 << 20:
        raise _MalformedError(f"general.alignment is {value!r}, no power of two")
    return value


def _field(cursor: _Cursor, large_arrays: bool) -> Field:
    kind = cursor.scalar("I")
    if kind != ARRAY:
        return Field(kind, _scalar(cursor, kind))
    item, count = cursor.scalar("I"), cursor.scalar("Q")
    if item not in _SCALARS and item != STRING:
        raise _MalformedError(f"an array has items of the type {item}")
    if count > _MOST_ITEMS:
        raise _MalformedError(f"an array announces {count} items")
    if large_arrays or count <= MOST_SMALL_ITEMS:
        return Field(ARRAY, [_scalar(cursor, item) for _ in range(count)], item, count)
    if item == STRING:
        cursor.skip_strings(count)
    else:
        cursor.skip(count * _STRUCTS[_SCALARS[item]].size)
    return Field(ARRAY, None, item, count)


def _scalar(cursor: _Cursor, kind: int) -> Scalar:
    if kind == STRING:
        return cursor.string(_MOST_STRING_BYTES)
    if kind not in _SCALARS:
        raise _MalformedError(f"a value has the type {kind}, which the format does not have")
    value = cursor.scalar(_SCALARS[kind])
    return bool(value) if kind == _BOOL else value


@dataclass(frozen=True, slots=True)
class _Described:
    """A tensor as the header describes it; offset: from the first byte of the weights."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @classmethod
    def read(cls, cursor: _Cursor) -> _Described:
        name = cursor.string(_MOST_KEY_BYTES)
        dimensions = cursor.scalar("I")
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise _MalformedError(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(cursor.scalar("Q") for _ in range(dimensions))
        if not 0 < prod(shape) < 1 << 63:
            raise _MalformedError(f"the tensor {name!r} has the shape {list(shape)}")
        return cls(name, shape, cursor.scalar("I"), cursor.scalar("Q"))


def _located(path: Path, described: list[_Described], start: int, size: int, alignment: int) -> Iterator[Tensor]:
    """The tensors with their places in the file, each inside it."""
    from gguf import GGML_QUANT_SIZES  # takes longer to import than a header to read

    blocks = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
    following = dict(pairwise(sorted({*(start + tensor.offset for tensor in described), max(size, start)})))
    for tensor in described:
        offset = start + tensor.offset
        if tensor.offset % alignment:
            raise _MalformedError(f"the tensor {tensor.name!r} does not begin at a multiple of {alignment} bytes")
        if tensor.type in blocks:
            items, item_bytes = blocks[tensor.type]
            if tensor.shape[0] % items:
                raise _MalformedError(f"rows of the tensor {tensor.name!r} are no multiple of {items} elements")
            size_bytes = prod(tensor.shape) // items * item_bytes
        else:
            size_bytes = following.get(offset, offset) - offset
        if offset + size_bytes > size:
            raise _MalformedError(
                f"it is not whole: it has {size} bytes, and its tensor {tensor.name!r} ends at {offset + size_bytes}"
            )
        yield Tensor(tensor.name, tensor.type, tensor.shape, path, offset, size_bytes)


# --- split files --------------------------------------------------------------------------------------


def _split(part: _Part, key: str, default: int) -> int:
    found = part.fields.get(key)
    if found is None:
        return default
    if not isinstance(found.value, int) or found.value < 0:
        _refuse(part.path, f"{key} is {found.value!r}", _FETCH_AGAIN)
    return found.value


def _read_further_part(first: _Part, number: int, count: int) -> _Part:
    """Part `number` of `count`, counted from 0, which lies beside the first."""
    names = part_names(first.path.name)
    if (own := _split(first, "split.no", 0)) != 0:
        raise ModelError(
            f"{first.path} is part {own + 1} of {count} of a split file.",
            f"Name its first part{f', {first.path.with_name(names[0])}' if len(names) == count else ''}.",
        )
    if len(names) != count or first.path.name != names[0]:
        raise ModelError(
            f"{first.path} is the first of {count} parts, and its name does not say so.",
            f"Give the parts names that end in -00001-of-{count:05}.gguf, -00002-of-{count:05}.gguf and so on.",
        )
    path = first.path.with_name(names[number])
    if not path.is_file():
        raise ModelError(
            f"{first.path} is the first of {count} parts, and {path} is missing.", "Fetch all parts into one folder."
        )
    part = _read_part(path, large_arrays=False)
    if (_split(part, "split.no", 0), _split(part, "split.count", 1)) != (number, count):
        _refuse(path, f"it does not say that it is part {number + 1} of {count}", _FETCH_AGAIN)
    return part


# --- bytes --------------------------------------------------------------------------------------------


class _Cursor:
    """Reads forwards through a file, and keeps what it has read. Raises _MalformedError at the file's end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._limit = min(size, MOST_HEADER_BYTES)
        self.data = b""
        self.at = 0

    def _need(self, end: int) -> None:
        """Have the bytes before `end` in `data`."""
        if end > self._limit:
            raise _MalformedError(
                "it ends within its header"
                if end > self.size
                else f"its header is longer than {MOST_HEADER_BYTES} bytes"
            )
        if end > len(self.data):
            wanted = max(end - len(self.data), len(self.data), _READ_BYTES)
            self.data += self._file.read(min(wanted, self._limit - len(self.data)))
            if end > len(self.data):
                raise _MalformedError("it became shorter while it was read")

    def skip(self, count: int) -> None:
        self._need(self.at + count)
        self.at += count

    def bytes(self, count: int) -> bytes:
        self.skip(count)
        return self.data[self.at - count : self.at]

    def scalar(self, code: str) -> int:
        """One little-endian number; a float for the codes f and d."""
        form = _STRUCTS[code]
        self.skip(form.size)
        value: int = form.unpack_from(self.data, self.at - form.size)[0]
        return value

    def string(self, most: int) -> str:
        length = self.scalar("Q")
        if length > most:
            raise _MalformedError(f"a string announces {length} bytes")
        return self.bytes(length).decode(errors="surrogateescape")

    def skip_strings(self, count: int) -> None:
        """A vocabulary has 300,000 of them: this loop is what reading a header takes."""
        unpack, data, at = _STRUCTS["Q"].unpack_from, self.data, self.at
        for _ in range(count):
            try:
                at += 8 + unpack(data, at)[0]
            except (struct.error, OverflowError):  # beyond what was read, or beyond any file
                self._need(at + 8)
                data = self.data
                at += 8 + unpack(data, at)[0]
        self.at = at
        self.skip(0)
