"""Writes a GGUF file with some of another one's tensors and rows, their data as they are, and its metadata."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import gguf
import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Ints
from speculatoviz.models.files.gguf import GgufFile, Scalar, Tensor

Value = Scalar | list[Scalar] | None


class Kept(NamedTuple):
    """A tensor of the source under its name in the result. rows: of its outermost dimension, in order; None for all."""

    name: str
    tensor: Tensor
    rows: Ints | None = None


def rewrite(
    file: GgufFile,
    part: Path,
    kept: Iterable[Kept],
    changed: Callable[[str, Value], Value],
    added: Mapping[str, list[int]] = MappingProxyType({}),
) -> None:
    """Write one file with these tensors, and all metadata but that of a split.

    file: the source, read with its large arrays. changed: from a key and its value to the value in the result; None and
    an empty list leave the field out. added: further fields, arrays of int32. Raises ValueError or struct.error for a
    type that the package does not know, or a value that does not fit its field.
    """
    tensors = list(kept)
    writer = gguf.GGUFWriter(part, file.architecture or "")
    writer.data_alignment = file.integer("general.alignment") or gguf.GGUF_DEFAULT_ALIGNMENT
    with contextlib.closing(writer):
        _copy_metadata(file, writer, changed)
        for key, values in added.items():
            writer.add_key_value(key, values, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.INT32)
        for name, tensor, rows in tensors:
            shape = _byte_shape(tensor) if rows is None else (len(rows), *_byte_shape(tensor)[1:])
            kind = gguf.GGMLQuantizationType(tensor.type)
            writer.add_tensor_info(name, shape, np.dtype(np.uint8), prod(shape), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor, rows in tensors:
            data = row_bytes(tensor)
            writer.write_tensor_data(data if rows is None else data[rows])


def row_bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """A tensor's data as it is in the file, uint8[..., bytes of a row]: in NumPy's order of dimensions."""
    return np.memmap(tensor.path, np.uint8, "r", tensor.offset, _byte_shape(tensor))


def _byte_shape(tensor: Tensor) -> tuple[int, ...]:
    rows = tensor.shape[:0:-1]
    return (*rows, tensor.size_bytes // prod(rows))


def _copy_metadata(file: GgufFile, writer: gguf.GGUFWriter, changed: Callable[[str, Value], Value]) -> None:
    for key, field in file.fields.items():
        if key == "general.architecture" or key.startswith("split."):  # the writer's own; the result is one file
            continue
        value = changed(key, field.value)
        if isinstance(value, list):
            if value:  # the writer refuses empty arrays
                item_type = gguf.GGUFValueType(field.item_type or 0)
                writer.add_key_value(key, list(map(_exact, value)), gguf.GGUFValueType.ARRAY, item_type)
        elif value is not None:
            writer.add_key_value(key, _exact(value), gguf.GGUFValueType(field.type))


def _exact(value: Scalar) -> Any:
    """A string as the bytes that the source has, which need not be UTF-8."""
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


CANNOT = (ValueError, struct.error)  # what `rewrite` raises
