"""A matrix of a GGUF file whose rows are dequantised as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import gguf
import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.gguf import GgufFile, Tensor
from speculatoviz.models.files.rewrite import row_bytes

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


class Matrix:
    """The tensor `name`, [rows, columns], read from disk row by row.

    columns: numbers of a row. Raises ModelError if the file has no such matrix, if it has another number of rows, or if
    it is of a type that the package `gguf` cannot dequantise.
    """

    def __init__(self, file: GgufFile, name: str, rows: int) -> None:
        tensor = file.tensors.get(name)
        if tensor is None:
            raise ModelError(f"{file.path.name} has no {name}.", "Choose a file that has one.")
        if len(tensor.shape) != 2 or tensor.shape[1] != rows:
            raise ModelError(
                f"{name} of {file.path.name} does not have {rows} rows.",
                "Choose a file with one row of it for every token.",
            )
        try:
            self._type = gguf.GGMLQuantizationType(tensor.type)
            self._data = row_bytes(tensor)
            self.columns = tensor.shape[0]
            self.rows([0])
        except (ValueError, NotImplementedError, OSError) as error:
            raise ModelError(
                f"{name} of {file.path.name} cannot be read ({reason_of(error)}).",
                "Choose another quantisation, such as Q8_0 or Q4_K_M.",
            ) from error

    def rows(self, ids: Sequence[int] | Ints) -> Floats:
        """float32[n, columns]."""
        rows = gguf.dequantize(self._data[np.asarray(ids, np.intp)], self._type)
        return rows.astype(np.float32, copy=False)


def read_by_a_pass(file: GgufFile) -> list[Tensor]:
    """The matrices that a pass over one row reads whole: not the embedding, unless it is the output matrix too.

    Of a mixture of experts a pass reads fewer of them.
    """
    matrices = {name: tensor for name, tensor in file.tensors.items() if len(tensor.shape) > 1}
    return [tensor for name, tensor in matrices.items() if name != EMBEDDING or OUTPUT not in matrices]


def pass_bytes(file: GgufFile) -> int:
    """The bytes of the weights that a pass over one row reads."""
    return sum(tensor.size_bytes for tensor in read_by_a_pass(file))
