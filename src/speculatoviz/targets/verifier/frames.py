"""Conversions between the types of decoding (requests, drafts, verdicts, vocabularies) and the frames of the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from speculatoviz.core.rounds import Check, Extra, Verdict
from speculatoviz.core.sampling import QUANTA
from speculatoviz.core.types import ROOT, Draft, Ints, Limits, Penalties, Request, Sampling, Support
from speculatoviz.models.base import VocabularyEntry
from speculatoviz.targets.verifier.arrays import MISMATCH, array, pack, unpack
from speculatoviz.targets.verifier.evidence import (
    compared_of,
    evidence_of,
    limited_field,
    overlap_of,
    own_fields,
    scores_of,
    top_of,
    vocabulary_of,
    wire_compared,
    wire_overlap,
    wire_scores,
    wire_top,
)
from speculatoviz.targets.verifier.wire import (
    Judged,
    Open,
    Submit,
    Vocabulary,
    WireCheck,
    WireError,
    WirePenalties,
)

_MOST_BIASES, _MOST_PENALTY = 1024, 1e3


# ---- a request --------------------------------------------------------------------------------------


def open_frame(
    number: int, session: bytes, request: Request, prompt: Sequence[int], vocabulary: Ints | None = None
) -> Open:
    """The frame that opens a session. prompt: all committed ids, which may be more than the request's own.

    vocabulary: of the drafts before, if they had one.
    """
    s = request.sampling
    return Open(
        number,
        session,
        pack(prompt),
        s.temperature,
        s.top_k,
        s.top_p,
        s.min_p,
        request.seed,
        request.evidence,
        request.rule,
        request.certainty,
        request.output_start,
        _wire_penalties(s.penalties) if s.penalties.active else None,
        None if vocabulary is None else pack(vocabulary),
    )


def request_of(frame: Open, n_vocab: int) -> Request:
    """The request of a frame. Raises WireError for ids outside the vocabulary, or a sampling or seed out of range."""
    prompt = unpack(frame.prompt)
    if not prompt or not all(0 <= token < n_vocab for token in prompt):
        raise WireError("The prompt is empty or has ids outside the vocabulary.", MISMATCH)
    if not (
        0 <= frame.temperature <= 100
        and frame.top_k >= 0
        and 0 < frame.top_p <= 1
        and 0 <= frame.min_p <= 1
        and 0 <= frame.seed < 1 << 63
    ):
        raise WireError(
            "The sampling or the seed is out of range.", "Correct temperature, top-k, top-p, min-p and seed."
        )
    if frame.output_from is not None and not 0 <= frame.output_from <= len(prompt):
        raise WireError("The output begins outside the committed ids.", MISMATCH)
    penalties = Penalties() if frame.penalties is None else _penalties(frame.penalties, n_vocab)
    sampling = Sampling(frame.temperature, frame.top_k, frame.top_p, frame.min_p, penalties)
    return Request(
        tuple(prompt),
        sampling,
        Limits(0),
        frame.seed,
        frame.rule,
        frame.evidence,
        certainty=frame.certainty,
        output_from=frame.output_from,
    )


def _wire_penalties(penalties: Penalties) -> WirePenalties:
    tokens = pack([token for token, _ in penalties.bias])
    values = np.array([value for _, value in penalties.bias], "<f8").tobytes()
    return WirePenalties(
        penalties.presence, penalties.frequency, penalties.repetition, penalties.last_n, (tokens, values)
    )


def _penalties(frame: WirePenalties, n_vocab: int) -> Penalties:
    tokens, values = unpack(frame.bias[0]), array(frame.bias[1], "<f8").tolist()
    unique = len(set(tokens)) == len(tokens) == len(values) <= _MOST_BIASES
    if not unique or not all(0 <= token < n_vocab for token in tokens):
        raise WireError("The biases do not name different ids of the vocabulary.", MISMATCH)
    numbers = (frame.presence, frame.frequency, *values)
    near = all(abs(number) <= _MOST_PENALTY for number in numbers)
    if (
        not near
        or not 1 / _MOST_PENALTY <= frame.repetition <= _MOST_PENALTY
        or (frame.last_n is not None and frame.last_n < 1)
    ):
        raise WireError("The penalties are out of range.", "Correct the penalties and biases.")
    bias = tuple(zip(tokens, values, strict=True))
    return Penalties(frame.presence, frame.frequency, frame.repetition, frame.last_n, bias)


# ---- a draft ----------------------------------------------------------------------------------------


def submit_frame(number: int, draft: Draft, committed: int, known: Ints | None = None) -> Submit:
    """The frame of a draft. committed: the number of committed ids before it. known: the vocabulary that was sent.

    Raises ValueError for a q that is not in whole multiples of 2^-16: the verifier would receive another one.
    """
    parents, vocabulary = None if draft.is_chain else pack(draft.parents), vocabulary_of(draft)
    return Submit(
        number,
        draft.round,
        committed,
        pack(draft.tokens),
        parents,
        [_wire_q(q) for q in draft.q],
        own_fields(draft),
        None if vocabulary is None or vocabulary is known else pack(vocabulary),
        limited_field(draft, vocabulary),
    )


def draft_of(frame: Submit, n_vocab: int, vocabulary: Ints | None = None) -> Draft:
    """The draft of a frame. Raises WireError for anything that cannot have been drawn.

    vocabulary: of the tokens that the frame marks as limited. Checked: ids, parents before their children, every q a
    distribution, every token with a probability under its q.
    """
    tokens = unpack(frame.tokens)
    n = len(tokens)
    if not 0 <= frame.round < 1 << 63:
        raise WireError("The number of the round is out of range.", MISMATCH)
    parents = list(range(-1, n - 1)) if frame.parents is None else unpack(frame.parents)
    if len(frame.q) != n or len(parents) != n:
        raise WireError("The draft's tokens, parents and distributions are not equally many.", MISMATCH)
    if not all(0 <= token < n_vocab for token in tokens):
        raise WireError("A drafted id is outside the vocabulary.", MISMATCH)
    if not all(ROOT <= parent < node for node, parent in enumerate(parents)):
        raise WireError("A drafted token comes before its parent.", MISMATCH)
    q = tuple(_support(pair, n_vocab) for pair in frame.q)
    for token, declared in zip(tokens, q, strict=True):
        if declared is not None and declared.prob(token) <= 0.0:
            raise WireError("A drafted token has no probability under its own distribution.", MISMATCH)
    return Draft(
        round=frame.round,
        tokens=np.array(tokens, np.int32),
        parents=np.array(parents, np.int32),
        q=q,
        source=("remote",) * n,
        scores=(None,) * n,
        times_ms=(0.0,) * n,
        evidence=evidence_of(frame, n, n_vocab, vocabulary),
    )


def _wire_q(q: Support | None) -> tuple[bytes, bytes] | None:
    if q is None:
        return None
    counts = q.probs * QUANTA
    whole = counts.astype(np.int64)
    if not np.array_equal(whole, counts) or whole.sum() != QUANTA or whole.min() < 1:
        raise ValueError("expected a q in whole multiples of 2^-16")
    return pack(q.ids), (whole - 1).astype("<u2").tobytes()


def _support(pair: tuple[bytes, bytes] | None, n_vocab: int) -> Support | None:
    if pair is None:
        return None
    ids, counts = array(pair[0], "<i4").astype(np.int64), array(pair[1], "<u2").astype(np.int64) + 1
    ascending = len(ids) == len(counts) > 0 and bool((np.diff(ids) > 0).all())
    if not ascending or ids[0] < 0 or ids[-1] >= n_vocab or int(counts.sum()) != QUANTA:
        raise WireError("A draft's distribution is not one.", MISMATCH)
    return Support(ids.astype(np.int32), counts / QUANTA)


# ---- a verdict --------------------------------------------------------------------------------------


def judged_frame(number: int, round: int, verdict: Verdict, server_ms: float) -> Judged:
    """The frame of a verdict. server_ms: from the arrival of the draft to this answer."""
    extra = verdict.extra
    return Judged(
        number=number,
        round=round,
        path=pack(verdict.path),
        checks=[_wire_check(check) for check in verdict.checks],
        token=extra.token,
        status=extra.status,
        target_prob=extra.target_prob,
        scores=wire_scores(extra.target),
        residual=wire_top(extra.residual),
        evidence_ms=verdict.evidence_ms,
        server_ms=server_ms,
        certainty=verdict.certainty,
        compared=wire_compared(extra.compared),
    )


def verdict_of(frame: Judged, draft: Draft) -> Verdict:
    """The verdict of a frame on a draft. Raises WireError for a path or a check that the draft does not have."""
    path = unpack(frame.path)
    nodes = [ROOT, *path]
    checks = tuple(_check(check, draft) for check in frame.checks)
    if any(not 0 <= n < len(draft) or int(draft.parents[n]) != up for up, n in zip(nodes, path, strict=False)):
        raise WireError("The verifier accepted a path that was not drafted.", MISMATCH)
    if frame.certainty is not None and not 0.0 <= frame.certainty <= 1.0:
        raise WireError("The verifier reported a certainty that is no probability.", MISMATCH)
    compared = compared_of(frame.compared)
    extra = Extra(
        frame.token, frame.status, frame.target_prob, scores_of(frame.scores), top_of(*frame.residual), compared
    )
    return Verdict(tuple(path), extra, checks, evidence_ms=frame.evidence_ms, certainty=frame.certainty)


def _wire_check(check: Check) -> WireCheck:
    return WireCheck(
        check.node,
        None if check.status == "discarded" else check.status == "accepted",
        check.target_prob,
        check.draft_prob,
        check.acceptance_prob,
        check.uniform,
        wire_scores(check.target),
        wire_compared(check.compared),
        wire_overlap(check.overlap),
    )


def _check(check: WireCheck, draft: Draft) -> Check:
    if not 0 <= check.node < len(draft):
        raise WireError("The verifier tested a token that was not drafted.", MISMATCH)
    return Check(
        check.node,
        int(draft.tokens[check.node]),
        "discarded" if check.accepted is None else "accepted" if check.accepted else "rejected",
        check.target_prob,
        check.draft_prob,
        check.acceptance_prob,
        check.uniform,
        scores_of(check.scores),
        compared=compared_of(check.compared),
        overlap=overlap_of(check.overlap),
    )


# ---- a vocabulary -----------------------------------------------------------------------------------


def vocabulary_frame(number: int, entries: Iterable[VocabularyEntry]) -> Vocabulary:
    """The frame of a vocabulary. entries: the used ids, ascending."""
    used = list(entries)
    return Vocabulary(
        number=number,
        ids=pack([entry.id for entry in used]),
        pieces=b"".join(entry.piece for entry in used),
        lengths=pack([len(entry.piece) for entry in used]),
        control=bytes(entry.control for entry in used),
    )


def entries_of(frame: Vocabulary) -> list[VocabularyEntry]:
    """The entries of a vocabulary's frame. Raises WireError if its fields do not fit each other."""
    ids, lengths = unpack(frame.ids), unpack(frame.lengths)
    if (
        not len(ids) == len(lengths) == len(frame.control)
        or sum(lengths) != len(frame.pieces)
        or any(n < 0 for n in lengths)
    ):
        raise WireError("The fields of the verifier's vocabulary do not fit each other.", MISMATCH)
    entries, at = list[VocabularyEntry](), 0
    for token, length, control in zip(ids, lengths, frame.control, strict=True):
        entries.append(VocabularyEntry(token, frame.pieces[at : at + length], bool(control)))
        at += length
    return entries
