"""What is only shown of a draft and its verdict, as fields of frames: scores, p beside q, and overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple

import msgspec
import numpy as np

from speculatoviz.core.rounds import Compared, Overlap
from speculatoviz.core.types import Draft, DraftEvidence, Ints, Scores, Support
from speculatoviz.targets.verifier.arrays import MISMATCH, array, pack, unpack
from speculatoviz.targets.verifier.wire import (
    Open,
    Submit,
    WireCompared,
    WireError,
    WireOverlap,
    WireScores,
)

_ROUNDING = 1e-3  # of the sum of a distribution that is only shown


# ---- of a draft --------------------------------------------------------------------------------------


def own_fields(draft: Draft) -> list[tuple[bytes, bytes] | None]:
    """`Submit.own` of a draft."""
    own = [None if one is None or one.own is None else _wire_own(one.own) for one in draft.evidence]
    return own if any(own) else []


def limited_field(draft: Draft, vocabulary: Ints | None) -> bytes:
    """`Submit.limited` of a draft whose drafter has that vocabulary."""
    if vocabulary is None:
        return b""
    return bytes(one is not None and one.vocabulary is vocabulary for one in draft.evidence)


def vocabulary_of(draft: Draft) -> Ints | None:
    """The ids that the drafter can propose, of the first token that has evidence of them; None without any."""
    known = (one.vocabulary for one in draft.evidence if one is not None and one.vocabulary is not None)
    return next(known, None)


def known_vocabulary(frame: Open | Submit, n_vocab: int) -> Ints | None:
    """The vocabulary of drafts that a frame states, int32[K]; None if it states none.

    Raises WireError if it is none of the target's ids.
    """
    if frame.vocabulary is None:
        return None
    ids = array(frame.vocabulary, "<i4").astype(np.int32)
    if not len(ids) or ids[0] < 0 or ids[-1] >= n_vocab or not bool((np.diff(ids) > 0).all()):
        raise WireError("The draft vocabulary is no ascending list of ids of the vocabulary.", MISMATCH)
    return ids


def evidence_of(frame: Submit, n: int, n_vocab: int, vocabulary: Ints | None) -> tuple[DraftEvidence | None, ...]:
    """Of n tokens; empty if the frame has none. Raises WireError if it does not fit the draft."""
    if not frame.own and not frame.limited:
        return ()
    if any(frame.limited) and vocabulary is None:
        raise WireError("A draft names its vocabulary, which was never sent.", MISMATCH)
    if len(frame.own) not in {0, n} or len(frame.limited) not in {0, n}:
        raise WireError("A draft and its evidence are not equally long.", MISMATCH)
    own = [_own(pair, n_vocab) for pair in frame.own] or [None] * n
    limited = frame.limited or bytes(n)
    return tuple(DraftEvidence(one, vocabulary if mark else None) for one, mark in zip(own, limited, strict=True))


def _wire_own(own: Support) -> tuple[bytes, bytes]:
    return pack(own.ids), np.asarray(own.probs, "<f8").tobytes()


def _own(pair: tuple[bytes, bytes] | None, n_vocab: int) -> Support | None:
    if pair is None:
        return None
    ids, probs = array(pair[0], "<i4").astype(np.int32), array(pair[1], "<f8").astype(np.float64)
    fits = len(ids) == len(probs) > 0 and bool((np.diff(ids) > 0).all()) and ids[0] >= 0 and ids[-1] < n_vocab
    if not fits or not bool(((probs > 0) & (probs <= 1)).all()) or abs(float(probs.sum()) - 1.0) > _ROUNDING:
        raise WireError("A distribution that a draft could have been drawn from is none.", MISMATCH)
    return Support(ids, probs)


# ---- of a verdict ------------------------------------------------------------------------------------


def wire_overlap(overlap: Overlap | None) -> WireOverlap | None:
    """The field of an overlap."""
    return None if overlap is None else WireOverlap(*map(float, astuple(overlap)))


def overlap_of(frame: WireOverlap | None) -> Overlap | None:
    """The overlap of a field."""
    return None if frame is None else Overlap(*msgspec.structs.astuple(frame))


def wire_compared(rows: Sequence[Compared]) -> WireCompared | None:
    """The field of p beside q; None without any."""
    if not rows:
        return None
    p, q = [row.target_prob for row in rows], [row.draft_prob for row in rows]
    drafted = None if any(prob is None for prob in q) else np.array(q, "<f8").tobytes()
    return WireCompared(pack([row.token for row in rows]), np.array(p, "<f8").tobytes(), drafted)


def compared_of(frame: WireCompared | None) -> tuple[Compared, ...]:
    """p beside q of a field. Raises WireError if its parts do not fit each other."""
    if frame is None:
        return ()
    ids, p = unpack(frame.ids), array(frame.p, "<f8").tolist()
    q = [None] * len(ids) if frame.q is None else array(frame.q, "<f8").tolist()
    if not len(ids) == len(p) == len(q):
        raise WireError("The verifier's tokens and their probabilities are not equally many.", MISMATCH)
    return tuple(map(Compared, ids, p, q))


def wire_scores(scores: Scores | None) -> WireScores | None:
    """The field of scores."""
    return None if scores is None else WireScores(scores.logprob, scores.entropy, *wire_top(scores.top))


def scores_of(scores: WireScores | None) -> Scores | None:
    """The scores of a field. Raises WireError if its parts do not fit each other."""
    return None if scores is None else Scores(scores.logprob, scores.entropy, top_of(scores.ids, scores.logprobs))


def wire_top(top: Iterable[tuple[int, float]]) -> tuple[bytes, bytes]:
    """The fields of tokens with their log-probabilities."""
    pairs = list(top)
    return pack([token for token, _ in pairs]), np.array([logprob for _, logprob in pairs], "<f4").tobytes()


def top_of(ids: bytes, logprobs: bytes) -> tuple[tuple[int, float], ...]:
    """Tokens with their log-probabilities, of fields. Raises WireError if they are not equally many."""
    tokens, logs = unpack(ids), array(logprobs, "<f4").tolist()
    if len(tokens) != len(logs):
        raise WireError("The verifier's alternatives and their scores are not equally many.", MISMATCH)
    return tuple(zip(tokens, logs, strict=True))
