"""The target's own embedding and output rows, read from its GGUF file as they are asked for.

The header is parsed by llama.cpp's own library: in Python a vocabulary takes seconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import HeadError

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


class TargetRows(Protocol):
    """What a head shares with its target: nothing of it is in the head's own file."""

    @property
    def hidden_size(self) -> int: ...
    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]: what the target reads for these tokens."""

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]: the rows whose products with a hidden state are the logits of these tokens."""


class GgufRows:
    """The rows of a GGUF file, dequantised; embedding and output are one matrix where the file has but one.

    Raises HeadError where it is no GGUF file, or its matrices are not of D columns and one row a token.
    """

    def __init__(self, path: Path, hidden_size: int, n_vocab: int) -> None:
        self.hidden_size = hidden_size
        with _header(path) as find:
            self._embedding = _Matrix.of(path, find, _EMBEDDING, (n_vocab, hidden_size))
            tied = find(_OUTPUT) is None
            self._output = self._embedding if tied else _Matrix.of(path, find, _OUTPUT, (n_vocab, hidden_size))

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        return self._embedding.rows(ids)

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        return self._output.rows(ids)


class _Matrix:
    """A quantised matrix on disk, uint8[rows, bytes of a row]."""

    def __init__(self, data: npt.NDArray[np.uint8], kind: gguf.GGMLQuantizationType) -> None:
        self._data, self._kind = data, kind

    @classmethod
    def of(cls, path: Path, find: _Find, name: str, shape: tuple[int, int]) -> _Matrix:
        place = find(name)
        if place is None:
            raise HeadError(f"{path.name} has no {name}.", "Choose a target in llama.cpp's GGUF format.")
        offset, size, code = place
        kind = gguf.GGMLQuantizationType(code)
        rows, columns = shape
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        row_bytes = columns // block * block_bytes
        if size != rows * row_bytes:
            raise HeadError(
                f"{name} of {path.name} is not of {rows} rows and {columns} columns.",
                "Choose a target whose output matrix acts on its hidden states as they are.",
            )
        return cls(np.memmap(path, np.uint8, "r", offset, (rows, row_bytes)), kind)

    def rows(self, ids: Sequence[int] | Ints) -> Floats:
        return gguf.dequantize(self._data[np.asarray(ids, np.intp)], self._kind).astype(np.float32, copy=False)


_Find = Callable[[str], tuple[int, int, int] | None]  # of a tensor: where it begins, its bytes, its type


class _Params(ctypes.Structure):
    """struct gguf_init_params of gguf.h."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


@contextmanager
def _header(path: Path) -> Iterator[_Find]:
    lib = _library()
    file = lib.gguf_init_from_file(str(path).encode(), _Params(True, None)) if path.is_file() else None
    if not file:
        raise HeadError(f"{path} is not a GGUF file.", "Choose a target in llama.cpp's GGUF format.")

    def find(name: str) -> tuple[int, int, int] | None:
        index = lib.gguf_find_tensor(file, name.encode())
        if index < 0:
            return None
        offset = lib.gguf_get_data_offset(file) + lib.gguf_get_tensor_offset(file, index)
        return offset, lib.gguf_get_tensor_size(file, index), lib.gguf_get_tensor_type(file, index)

    try:
        yield find
    finally:
        lib.gguf_free(file)


def _library() -> Any:
    """The functions of gguf.h in llama.cpp's library, with their types."""
    import llama_cpp.llama_cpp as llama

    lib = llama._lib
    handle, index = ctypes.c_void_p, ctypes.c_int64
    for name, result, *arguments in (
        ("gguf_init_from_file", handle, ctypes.c_char_p, _Params),
        ("gguf_free", None, handle),
        ("gguf_find_tensor", index, handle, ctypes.c_char_p),
        ("gguf_get_data_offset", ctypes.c_size_t, handle),
        ("gguf_get_tensor_offset", ctypes.c_size_t, handle, index),
        ("gguf_get_tensor_size", ctypes.c_size_t, handle, index),
        ("gguf_get_tensor_type", ctypes.c_int, handle, index),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
