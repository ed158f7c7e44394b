"""Between the ids of a whole vocabulary and those of a file that keeps some of its tokens (`files/trim.py`).

V is the number of tokens of the whole file, N that of the trimmed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.matrix import EMBEDDING, Matrix
from speculatoviz.models.files.trim import kept_ids


class TrimmedVocabulary:
    """Translates inputs and logits of a trimmed file, exactly.

    path: the trimmed file. source: the file that it was made of. n_vocab: V. Tokens that the trimmed file lacks are fed
    as their embeddings of the source, and have logits of minus infinity. Raises ModelError if a file cannot be read.

    kept: int32[N], the ids of the tokens of the trimmed file, ascending. embeds_all: feed embeddings of all tokens, for
    a check that both ways of feeding agree.
    """

    def __init__(self, path: Path, source: Path, n_vocab: int) -> None:
        self.kept = kept_ids(path)
        self.embeds_all = False
        self._places: Ints = np.full(n_vocab, -1, np.int32)
        self._places[self.kept] = np.arange(len(self.kept), dtype=np.int32)
        self._embedding = Matrix(read(source), EMBEDDING, n_vocab)
        self._runs = _runs(self.kept)
        self._logits: Floats = np.empty((0, n_vocab), np.float32)

    @property
    def columns(self) -> int:
        """N."""
        return len(self.kept)

    def places(self, tokens: Sequence[int]) -> Ints | None:
        """Their ids in the trimmed file, int32[n]; None if it lacks one of them."""
        places = self._places[list(tokens)]
        return None if self.embeds_all or (places < 0).any() else places

    def embeddings(self, tokens: Sequence[int]) -> Floats:
        """float32[n, D], of any tokens of the whole vocabulary."""
        return self._embedding.rows(tokens)

    def spread(self, logits: Floats) -> Floats:
        """float32[r, V] from the trimmed file's logits float32[r, N]. A view until the next call."""
        rows = len(logits)
        if rows > len(self._logits):
            self._logits = np.full((rows, len(self._places)), -np.inf, np.float32)
        for start, end, first in self._runs:
            self._logits[:rows, first : first + end - start] = logits[:, start:end]
        return self._logits[:rows]


def _runs(kept: Ints) -> list[tuple[int, int, int]]:
    """(start, end, id of start) of each run of places whose ids are consecutive: a run is copied at once."""
    starts = np.flatnonzero(np.diff(kept, prepend=kept[0] - 2) != 1)
    ends = [*starts[1:], len(kept)]
    return [(int(start), int(end), int(kept[start])) for start, end in zip(starts, ends, strict=True)]
