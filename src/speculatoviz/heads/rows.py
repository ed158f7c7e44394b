"""The target's embedding and output rows, read from its GGUF file as they are asked for.

A head has neither: it shares them with its target.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import gguf
import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import HeadError
from speculatoviz.models.files.gguf import GgufFile, read

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


class TargetRows(Protocol):
    """Rows of the target's two matrices over the vocabulary, float32[V, D] each."""

    @property
    def hidden_size(self) -> int:
        """D."""

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]: the embeddings of these tokens."""

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]: output rows; the product of one with a hidden state is the logit of its token."""


class GgufRows:
    """The rows of a GGUF file, whole or split, dequantised to float32.

    A file without an output matrix uses its embedding for both. path: the file, or its first part. n_vocab: V. Raises
    ModelError if it is no GGUF file, HeadError if a matrix is missing, does not have V rows, or they differ in length.
    """

    def __init__(self, path: Path, n_vocab: int) -> None:
        file = read(path)
        self._embedding = _Matrix(file, _EMBEDDING, n_vocab)
        self._output = _Matrix(file, _OUTPUT, n_vocab) if _OUTPUT in file.tensors else self._embedding
        self.hidden_size = self._output.columns
        if self._embedding.columns != self.hidden_size:
            raise HeadError(
                f"{path.name} has embeddings of {self._embedding.columns} numbers and hidden states of "
                f"{self.hidden_size}.",
                "Choose a target where they are of one size.",
            )

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]."""
        return self._embedding.rows(ids)

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, D]."""
        return self._output.rows(ids)


class _Matrix:
    """A quantised matrix on disk, uint8[V, bytes of a row]."""

    def __init__(self, file: GgufFile, name: str, rows: int) -> None:
        tensor = file.tensors.get(name)
        if tensor is None:
            raise HeadError(f"{file.path.name} has no {name}.", "Choose a target that has one.")
        if len(tensor.shape) != 2 or tensor.shape[1] != rows:
            raise HeadError(
                f"{name} of {file.path.name} does not have {rows} rows.",
                "Choose a target with one row of it for every token.",
            )
        try:
            self._type = gguf.GGMLQuantizationType(tensor.type)
            self._data: npt.NDArray[np.uint8] = np.memmap(
                tensor.path, np.uint8, "r", tensor.offset, (rows, tensor.size_bytes // rows)
            )
            self.columns = tensor.shape[0]
            self.rows([0])
        except (ValueError, NotImplementedError, OSError) as error:  # a type that the package cannot dequantise
            raise HeadError(
                f"{name} of {file.path.name} cannot be read ({error}).",
                "Choose another quantisation of the target, such as Q8_0 or Q4_K_M.",
            ) from error

    def rows(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, columns]."""
        rows = gguf.dequantize(self._data[np.asarray(ids, np.intp)], self._type)
        return rows.astype(np.float32, copy=False)
