"""Which mode verifies a request at an endpoint, from what the endpoint was found to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from speculatoviz.core.types import Exactness, Request
from speculatoviz.errors import TargetError

Mode = Literal["auto", "scores", "thinning", "match", "bounded", "generate"]
Strategy = Literal["greedy", "thinned", "rows", "match", "bounded", "generate"]

ORDER = "Relative to the endpoint's own order of filters, and to its own draws: a seed does not repeat there."
_ENTRY_BYTES = 70  # of one id-keyed log-probability in JSON
_AFFORDABLE_BYTES = 2_000_000  # of one answer


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a probe found an endpoint to do.

    tokens: it can be given exactly our tokens (as ids, or as text that our tokenizer reads back).
    scores: it scores given tokens; raw: those scores are the model's own, whatever the temperature.
    top_n: alternatives it tells per scored place, at most. whole: the whole vocabulary. suffix_only: it can leave out
    the places of the prefix. by_id: it names tokens by id, not by text that several may share. from_text: it takes
    text, which is checked to read back as our tokens.
    """

    tokens: bool
    scores: bool = False
    raw: bool = False
    top_n: int = 0
    whole: bool = False
    suffix_only: bool = False
    by_id: bool = True
    from_text: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """How a request is verified. top: alternatives to ask for per place."""

    strategy: Strategy
    exactness: Exactness
    top: int = 0


def choose(mode: str, request: Request, can: Abilities, n_vocab: int) -> Choice:
    """The way to verify a request: the one asked for, or the first that is exact. Raises TargetError in words."""
    match mode:
        case "match":
            return _match(can)
        case "generate":
            return _generate()
        case "bounded":
            return _scored(request, can, n_vocab, strict=False) or _bounded(can)
        case "auto":
            if not can.tokens:
                return _generate()
            return _scored(request, can, n_vocab, strict=True) or _match(can)
    _need_scores(can)
    if choice := _scored(request, can, n_vocab, strict=False):
        if mode == "thinning" and choice.strategy == "rows":
            raise TargetError("Thinning is exact at temperature 1 without filters only.", "Choose the mode match.")
        return choice
    raise TargetError(
        "This endpoint's scores do not determine the distribution for this sampling.",
        f"Choose the mode match or bounded, temperature 0 or 1 without filters, or a top-k of at most {can.top_n}.",
    )


def _scored(request: Request, can: Abilities, n_vocab: int, strict: bool) -> Choice | None:
    """The exact way by scores, if there is one. strict: only at an affordable size of answers."""
    sampling = request.sampling
    if not (can.tokens and can.scores):
        return None
    if sampling.greedy:
        why = Exactness("exact", "The endpoint tells its most probable token of every place.")
        return Choice("greedy", why, 1) if can.top_n else None
    if not can.raw:
        return None
    if sampling.temperature == 1.0 and not sampling.filtered:
        reason = "The endpoint scores every drafted token; where one is rejected, its own draws are thinned. "
        return Choice("thinned", Exactness("exact", reason + ORDER))
    return _by_rows(request, can, n_vocab, strict)


def _by_rows(request: Request, can: Abilities, n_vocab: int, strict: bool) -> Choice | None:
    """All that the sampling keeps of every place, where the endpoint tells that many and it can be paid for."""
    places = 16 if can.suffix_only else len(request.prompt) + request.limits.max_tokens
    most = _AFFORDABLE_BYTES // (places * _ENTRY_BYTES)
    top_k = request.sampling.top_k
    if not can.by_id:
        return None
    if 0 < top_k <= can.top_n and (top_k <= most or not strict):
        return Choice(
            "rows",
            Exactness("exact", f"The endpoint tells the {top_k} tokens that top-k keeps, of every place."),
            top_k,
        )
    if can.whole and n_vocab <= most:
        return Choice("rows", Exactness("exact", "The endpoint tells the whole vocabulary of every place."), n_vocab)
    return None


def _match(can: Abilities) -> Choice:
    if not can.tokens:
        raise TargetError(
            "This endpoint cannot be given exact tokens: it takes text, and its tokenizer is not at hand.",
            "Name a local model with the endpoint's tokenizer, or choose the mode generate.",
        )
    reason = "Every emitted token is one that the endpoint drew itself behind the tokens before it. "
    return Choice("match", Exactness("exact", reason + ORDER))


def _bounded(can: Abilities) -> Choice:
    _need_scores(can)
    if not (can.raw and can.by_id and can.top_n):
        raise TargetError(
            "No bound follows from this endpoint's scores: they are not raw, or not keyed by id.",
            "Choose the mode match.",
        )
    reason = f"Only the {can.top_n} most probable tokens are known; each round says how far it can be from the target."
    return Choice("bounded", Exactness("bounded", reason), can.top_n)


def _generate() -> Choice:
    reason = "The endpoint generates by itself, and what it was given cannot be shown to be our tokens: no speedup."
    return Choice("generate", Exactness("unverified", reason))


def _need_scores(can: Abilities) -> None:
    if not can.tokens or not can.scores:
        raise TargetError(
            "This endpoint does not score given tokens.", "Choose the mode match, which needs no scores, or auto."
        )
