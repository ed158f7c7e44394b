"""Which mode verifies a request at an endpoint, given what a probe found that the endpoint can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from speculatoviz.core.types import Exactness, Request
from speculatoviz.errors import TargetError

Mode = Literal["auto", "scores", "thinning", "match", "bounded", "generate"]
Strategy = Literal["greedy", "thinned", "rows", "match", "bounded", "generate"]

ORDER = "Relative to the endpoint's own order of filters, and to its own draws: a seed does not repeat there."
_ENTRY_BYTES = 70  # of one log-probability with its id, in JSON
_AFFORDABLE_BYTES = 2_000_000  # of one answer
_DRAFT_PLACES = 16


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a probe found that an endpoint can do.

    tokens: it can be sent exactly our tokens, as ids or as text that is tokenized to them. scores: it scores given
    tokens. raw: those scores are log p whatever the temperature. top_n: the most alternatives that it returns per
    scored place. whole: it returns the whole vocabulary. suffix_only: it can leave out the scores of the prefix.
    by_id: it names tokens by id, not by text that several tokens can share. from_text: it takes text, not ids. chat:
    it answers conversations only.
    """

    tokens: bool
    scores: bool = False
    raw: bool = False
    top_n: int = 0
    whole: bool = False
    suffix_only: bool = False
    by_id: bool = True
    from_text: bool = False
    chat: bool = False


@dataclass(frozen=True, slots=True)
class SelectedMode:
    """How a request is verified. top: the number of alternatives to ask for per place."""

    strategy: Strategy
    exactness: Exactness
    top: int = 0


def choose(mode: str, request: Request, can: Abilities, n_vocab: int) -> SelectedMode:
    """The stated mode, or with `auto` the first exact one. Raises TargetError if the endpoint cannot do it."""
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


def _scored(request: Request, can: Abilities, n_vocab: int, strict: bool) -> SelectedMode | None:
    """The exact mode that uses scores, if there is one. strict: only if the answers have an affordable size."""
    sampling = request.sampling
    if not (can.tokens and can.scores):
        return None
    if sampling.greedy:
        why = Exactness("exact", "The endpoint returns its most probable token of every place.")
        return SelectedMode("greedy", why, 1) if can.top_n else None
    if not can.raw:
        return None
    if sampling.temperature == 1.0 and not sampling.filtered:
        reason = "The endpoint scores every drafted token; after a rejection its own draws are thinned. "
        return SelectedMode("thinned", Exactness("exact", reason + ORDER))
    return _by_rows(request, can, n_vocab, strict)


def _by_rows(request: Request, can: Abilities, n_vocab: int, strict: bool) -> SelectedMode | None:
    """Rows, if the endpoint returns all tokens that the sampling keeps."""
    places = _DRAFT_PLACES if can.suffix_only else len(request.prompt) + request.limits.max_tokens
    most = _AFFORDABLE_BYTES // (places * _ENTRY_BYTES)
    top_k = request.sampling.top_k
    if not can.by_id:
        return None
    if 0 < top_k <= can.top_n and (top_k <= most or not strict):
        reason = f"The endpoint returns the {top_k} tokens that top-k keeps, at every place."
        return SelectedMode("rows", Exactness("exact", reason), top_k)
    if can.whole and n_vocab <= most:
        reason = "The endpoint returns the scores of the whole vocabulary at every place."
        return SelectedMode("rows", Exactness("exact", reason), n_vocab)
    return None


def _match(can: Abilities) -> SelectedMode:
    if can.chat:
        raise TargetError(
            "This endpoint answers conversations only: it cannot be sent the tokens that a draft follows.",
            "Choose the mode generate, or an endpoint that has /completions.",
        )
    if not can.tokens:
        raise TargetError(
            "This endpoint cannot be sent exact tokens: it takes text, and its tokenizer is not on this machine.",
            "Name a local model with the endpoint's tokenizer, or choose the mode generate.",
        )
    reason = "The endpoint draws every emitted token itself, after the tokens before it. "
    return SelectedMode("match", Exactness("exact", reason + ORDER))


def _bounded(can: Abilities) -> SelectedMode:
    _need_scores(can)
    if not (can.raw and can.by_id and can.top_n):
        raise TargetError(
            "No bound follows from this endpoint's scores: they are not raw, or not named by id.",
            "Choose the mode match.",
        )
    reason = (
        f"Only the {can.top_n} most probable tokens of a place are known. Each round reports a bound on the total "
        "variation, which holds in the mean over the drafted tokens."
    )
    return SelectedMode("bounded", Exactness("bounded", reason), can.top_n)


def _generate() -> SelectedMode:
    reason = (
        "The endpoint generates by itself, and cannot be shown to have been sent our tokens: no speedup is claimed."
    )
    return SelectedMode("generate", Exactness("unverified", reason))


def _need_scores(can: Abilities) -> None:
    if not can.tokens or not can.scores:
        raise TargetError(
            "This endpoint does not score given tokens.", "Choose the mode match, which needs no scores, or auto."
        )
