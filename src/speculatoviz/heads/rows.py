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

    Raises HeadError where it is no GGUF file, or its matrices do not have one row a token, of equal length.
    """

    def __init__(self, path: Path, n_vocab: int) -> None:
        with _header(path) as find:
            self._embedding = _Matrix(path, find, _EMBEDDING, n_vocab)
            self._output = self._embedding if find(_OUTPUT) is None else _Matrix(path, find, _OUTPUT, n_vocab)
        self.hidden_size = self._output.columns
        if self._embedding.columns != self.hidden_size:
            raise HeadError(
                f"{path.name} has embeddings of {self._embedding.columns} numbers and hidden states of "
                f"{self.hidden_size}.",
                "Choose a target where they are of one size.",
            )

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        return self._embedding.rows(ids)

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        return self._output.rows(ids)


class _Matrix:
    """A quantised matrix on disk, uint8[rows, bytes of a row]."""

    def __init__(self, path: Path, find: _Find, name: str, rows: int) -> None:
        place = find(name)
        if place is None:
            raise HeadError(f"{path.name} has no {name}.", "Choose a target in llama.cpp's GGUF format.")
        offset, size, code = place
        self._kind = gguf.GGMLQuantizationType(code)
        block, block_bytes = gguf.GGML_QUANT_SIZES[self._kind]
        row_bytes, rest = divmod(size, rows)
        if rest or row_bytes % block_bytes:
            raise HeadError(
                f"{name} of {path.name} does not have {rows} rows.",
                "Choose a target with one row of it for every token.",
            )
        self.columns = row_bytes // block_bytes * block
        self._data: npt.NDArray[np.uint8] = np.memmap(path, np.uint8, "r", offset, (rows, row_bytes))

    def rows(self, ids: Sequence[int] | Ints) -> Floats:
        rows = gguf.dequantize(self._data[np.asarray(ids, np.intp)], self._kind)
        return rows.astype(np.float32, copy=False)


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
