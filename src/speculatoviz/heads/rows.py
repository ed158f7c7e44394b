"""The target's embedding and output rows, read from its GGUF file as they are asked for.

A head has neither: it shares them with its target.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.matrix import EMBEDDING, OUTPUT, Matrix


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
        self._embedding = _matrix(file, EMBEDDING, n_vocab)
        self._output = _matrix(file, OUTPUT, n_vocab) if OUTPUT in file.tensors else self._embedding
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


def _matrix(file: GgufFile, name: str, n_vocab: int) -> Matrix:
    try:
        return Matrix(file, name, n_vocab)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error
