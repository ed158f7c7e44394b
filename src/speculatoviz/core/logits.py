"""Logits processors: what a request makes of a model's logits at a position, before temperature and filters.

Penalties and the mask of a grammar depend on the tokens before a position. In a draft tree those are the committed ids
and the position's own path, not the other branches and not what comes later: p of a drafted position is then p of plain
decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats, Ints, Request, Support


class LogitsProcessor:
    """Biases, penalties and the mask of a request, after the committed `ids` (prompt and output so far).

    The mask comes last: the logits of tokens that the grammar does not allow are minus infinity. The result for a token
    depends on its total count, not on how much of it is committed: logits of a drafted position are equal, bit by bit,
    to those after the same tokens are committed.
    """

    def __init__(self, request: Request, ids: Sequence[int]) -> None:
        self._penalties, self._constraint = request.sampling.penalties, request.constraint
        self._penalises = self._penalties.active
        self.restricts = self._constraint is not None  # whether a grammar allows only some tokens
        self.active = self._penalises or self.restricts
        self._ids = list(ids) if self.active else []
        self._output_ids = self._ids[request.output_start :]

    def __call__(self, logits: Floats, path: Sequence[int] = (), vocabulary: Ints | None = None) -> Floats:
        """The processed logits after a path of drafted tokens; the same array if nothing changes.

        logits: float[V], not written to. vocabulary int32[K], ascending: the ids of logits float[K]; None for 0 to
        V - 1. Ids without a logit are left out. A draft's logits are all minus infinity if it has no allowed token.
        """
        result = logits
        if self._penalises:
            place, result = _Places(len(logits), vocabulary), logits.copy()
            self._add_bias(result, place)
            self._divide_repeated(result, path, place)
            self._subtract_counted(result, path, place)
        allowed = self.allowed(path)
        if allowed is None:
            return result
        return np.where(_entries(allowed, len(result), vocabulary), result, result.dtype.type(-np.inf))

    def allowed(self, path: Sequence[int]) -> npt.NDArray[np.bool_] | None:
        """bool[V]: the tokens that the grammar allows after a path of drafted tokens; None for all.

        After a path that breaks the grammar it is None: p of that path is 0, and what follows does not matter.
        """
        return None if self._constraint is None else self._constraint.allowed([*self._output_ids, *path])

    def restricted(self, q: Support, path: Sequence[int]) -> Support | None:
        """q over the allowed tokens alone, renormalised; None if it has none."""
        allowed = self.allowed(path)
        if allowed is None:
            return q
        kept = allowed[q.ids] & (q.probs > 0)
        mass = q.probs[kept].sum()
        return Support(q.ids[kept], q.probs[kept] / mass) if mass > 0 else None

    @cached_property
    def _all(self) -> _Counts:
        """Of prompt and output."""
        return _Counts(self._ids)

    @cached_property
    def _output(self) -> _Counts:
        """Of the output."""
        return _Counts(self._output_ids)

    def _add_bias(self, logits: Floats, place: _Places) -> None:
        if self._penalties.bias:
            tokens, values = zip(*self._penalties.bias, strict=True)
            places, known = place.of(np.array(tokens, np.int32))
            logits[places] += np.array(values)[known]

    def _divide_repeated(self, logits: Floats, path: Sequence[int], place: _Places) -> None:
        r, last_n = self._penalties.repetition, self._penalties.last_n
        if r == 1.0:
            return
        if last_n is None:
            tokens = self._all.with_path(path)[0]
        else:
            tokens = np.unique(np.array([*self._ids[-last_n:], *path][-last_n:], np.int32))
        places, _ = place.of(tokens)
        values = logits[places]
        logits[places] = np.where(values > 0, values / r, values * r)

    def _subtract_counted(self, logits: Floats, path: Sequence[int], place: _Places) -> None:
        presence, frequency = self._penalties.presence, self._penalties.frequency
        if presence or frequency:
            tokens, counts = self._output.with_path(path)
            places, known = place.of(tokens)
            logits[places] -= presence + frequency * counts[known]


def _entries(allowed: npt.NDArray[np.bool_], size: int, vocabulary: Ints | None) -> npt.NDArray[np.bool_]:
    """bool[size]: the mask of logits over `vocabulary`, or over all ids; ids beyond the mask are not allowed."""
    if vocabulary is not None:
        return allowed[vocabulary]
    kept = np.zeros(size, np.bool_)
    kept[: len(allowed)] = allowed[:size]
    return kept


def is_empty(logits: Floats) -> bool:
    """Whether no token is left: every logit is minus infinity."""
    return bool(np.isneginf(logits.max()))


class _Counts:
    """How often each token occurs: tokens int32[m], ascending, and counts int64[m]."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._tokens, self._counts = np.unique(np.array(ids, np.int32), return_counts=True)

    def with_path(self, path: Sequence[int]) -> tuple[Ints, npt.NDArray[np.int64]]:
        """Tokens and counts with those of further ids; tokens are unique, in any order."""
        if not len(path):
            return self._tokens, self._counts
        tokens, more = np.unique(np.array(path, np.int32), return_counts=True)
        at = np.minimum(np.searchsorted(self._tokens, tokens), max(0, len(self._tokens) - 1))
        known = self._tokens[at] == tokens if len(self._tokens) else np.zeros(len(tokens), np.bool_)
        counts = self._counts.copy()
        counts[at[known]] += more[known]
        return np.concatenate([self._tokens, tokens[~known]]), np.concatenate([counts, more[~known]])


class _Places:
    """Where the logits of tokens are in an array of `size` logits, whose ids are `vocabulary`."""

    def __init__(self, size: int, vocabulary: Ints | None) -> None:
        self._size, self._vocabulary = size, vocabulary

    def of(self, tokens: Ints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """The indices of the tokens that have a logit, and bool[n]: which those are."""
        if self._vocabulary is None:
            known = (tokens >= 0) & (tokens < self._size)
            return tokens[known].astype(np.intp), known
        at = np.minimum(np.searchsorted(self._vocabulary, tokens), self._size - 1)
        known = self._vocabulary[at] == tokens
        return at[known], known
