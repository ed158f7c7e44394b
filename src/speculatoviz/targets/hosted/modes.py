"""How a draft is verified at an endpoint that samples, or scores given tokens, but does not verify drafts itself.

p is the target's distribution, q the draft's. Each mode is a function over an `Api`:

- `match`: the endpoint draws a token after every prefix of the draft; drafted tokens are kept while they equal it.
- `greedy`: at temperature 0, the same with the endpoint's most probable token after every prefix.
- `thinned`: at temperature 1 without filters, p of each drafted token; after a rejection, thinned draws from p.
- `rows`: the most probable tokens of each place, if the sampling keeps no others.
- `bounded`: the same if the sampling keeps others too, with a bound on their influence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.rounds import Check, Extra, Verdict
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.truncated import Row, estimate, first_kept
from speculatoviz.core.types import Draft, Label, Sampling, Scores, Status, Support
from speculatoviz.errors import TargetError, reason_of
from speculatoviz.targets.hosted.api import RAW, UNKNOWN_TOKEN, Api, ScoredToken
from speculatoviz.targets.hosted.usage import CallUsage

FIRST_DRAWS, MOST_DRAWS, ALL_DRAWS = 4, 128, 16_384  # of thinning: in the first call, in one call, in all
_PADDING = 512  # models pad the rows of their output to a multiple of at most this


@dataclass(frozen=True, slots=True)
class Verification:
    """What one verification gets.

    ids: the committed ids. draft: a chain after them. chance: the random numbers of the round. n_vocab: V of the
    tokenizer. alternatives: how many (id, log-probability) to report per place, for display.
    """

    ids: Sequence[int]
    draft: Draft
    sampling: Sampling
    chance: Chance
    usage: CallUsage
    n_vocab: int
    alternatives: int = 0

    @property
    def tokens(self) -> list[int]:
        tokens: list[int] = self.draft.tokens.tolist()
        return tokens

    @property
    def all_ids(self) -> list[int]:
        """The committed ids and the draft."""
        return [*self.ids, *self.tokens]


async def match(api: Api, given: Verification) -> Verdict:
    """Sample-and-match. Exact at any sampling, because the endpoint draws every emitted token itself."""
    tokens = given.tokens
    prompts = [[*given.ids, *tokens[:depth]] for depth in range(len(tokens) + 1)]
    drawn = await api.sample(prompts, given.sampling, given.alternatives, given.usage)
    return with_scores(compared(tokens, drawn), drawn, given.n_vocab)


def compared(tokens: Sequence[int], drawn: Sequence[ScoredToken]) -> Verdict:
    """Keep drafted tokens while they equal the endpoint's; the extra token is its first other, or the one after all."""
    checks = list[Check]()
    for node, token in enumerate(tokens):
        status: Status = "accepted" if drawn[node].token == token else "rejected"
        checks.append(Check(node, token, status, None, None, None, None))
        if status == "rejected":
            break
    accepted = sum(check.status == "accepted" for check in checks)
    extra = Extra(drawn[accepted].token, _status(checks), None)
    return Verdict(tuple(range(accepted)), extra, tuple(checks))


def with_scores(verdict: Verdict, places: Sequence[ScoredToken], n_vocab: int) -> Verdict:
    """Add the scores that the endpoint returned anyway, for display. places[n]: after n drafted tokens."""
    checks = tuple(replace(check, target=_shown(places[check.node], check.token, n_vocab)) for check in verdict.checks)
    end = len(verdict.path)
    scores = _shown(places[end], verdict.extra.token, n_vocab) if end < len(places) else None
    return replace(verdict, checks=checks, extra=replace(verdict.extra, target=scores))


def _shown(place: ScoredToken, token: int, n_vocab: int) -> Scores | None:
    known = place.known()
    top = tuple((other, logprob) for other, logprob in place.top if 0 <= other < n_vocab)
    return Scores(known.get(token), None, top) if known else None


async def greedy(api: Api, given: Verification) -> Verdict:
    """At temperature 0: the endpoint's most probable token of each place, in one request. Exact."""
    scored, after = await api.score(given.all_ids, len(given.ids), given.sampling, 1, given.usage)
    best = [ScoredToken(most_probable(place)) for place in scored]
    verdict = compared(given.tokens, [*best, after])
    if verdict.extra.token == UNKNOWN_TOKEN:
        prefix = given.all_ids[: len(given.ids) + len(verdict.path)]
        (drawn,) = await api.sample([prefix], given.sampling, 0, given.usage)
        verdict = replace(verdict, extra=replace(verdict.extra, token=drawn.token))
    checks = [
        replace(check, target_prob=float(accepted), draft_prob=None, acceptance_prob=float(accepted))
        for check in verdict.checks
        for accepted in [check.status == "accepted"]
    ]
    certain = replace(verdict, checks=tuple(checks), extra=replace(verdict.extra, target_prob=1.0))
    return with_scores(certain, [*scored, after], given.n_vocab)


async def thinned(api: Api, given: Verification) -> Verdict:
    """At temperature 1 without filters: p of each drafted token decides; after a rejection, draws from p are thinned.

    Exact: the test needs p of the drafted token alone, the token after a whole draft is drawn by the endpoint, and a
    thinned draw has the residual's distribution (see core.truncated).
    """
    tokens = given.tokens
    scored, after = await api.score(given.all_ids, len(given.ids), given.sampling, 0, given.usage)
    if not tokens:
        return with_scores(Verdict((), Extra(after.token, "plain", _prob(after)), ()), [after], given.n_vocab)

    def target(node: int) -> Distribution:
        place = node + 1
        return _one_known(scored[place], given.n_vocab) if place < len(tokens) else Distribution(np.ones(1), 1.0)

    decision = verify_tokens(given.draft, target, given.chance)
    if decision.extra.status == "bonus":
        extra = Extra(after.token, "bonus", _prob(after))
    else:
        extra = await _residual(api, given, decision.checks[-1].node)
    verdict = Verdict(decision.path, extra, decision.checks)
    return with_scores(verdict, [*scored, after], given.n_vocab)


async def rows(api: Api, given: Verification, top: int) -> Verdict:
    """From the `top` most probable tokens of each place, which are all that the sampling keeps. Exact."""
    scored, after = await api.score(given.all_ids, len(given.ids), RAW, top, given.usage)
    return _by_rows(given, [*scored, after._replace(logprob=None)], None)


async def bounded(api: Api, given: Verification, top: int) -> Verdict:
    """From the `top` most probable tokens of each place, with a bound on the influence of the others.

    The token after a whole draft is drawn by the endpoint, which is exact.
    """
    scored, after = await api.score(given.all_ids, len(given.ids), given.sampling, top, given.usage)
    return _by_rows(given, scored, after.token)


def _by_rows(given: Verification, places: Sequence[ScoredToken], after: int | None) -> Verdict:
    """after: the token after a whole draft; None if it is drawn from the last of `places`."""
    bounds = dict[int, float]()

    def target(node: int) -> Distribution:
        if node + 1 == len(places):
            return Distribution(np.ones(1), 1.0)
        p, bounds[node] = estimate(_row(places[node + 1], given.n_vocab), given.sampling)
        return p

    decision = verify_tokens(given.draft, target, given.chance)
    extra = decision.extra
    if extra.status == "resampled" and given.alternatives:
        extra = replace(extra, residual=decision.final.top(given.alternatives))
    elif extra.status != "resampled" and after is not None:
        extra = Extra(after, extra.status, None)
    bound = sum(bounds.values())
    label: Label = "bounded" if bound > 0.0 else "exact"
    return with_scores(Verdict(decision.path, extra, decision.checks, label, bound), places, given.n_vocab)


async def _residual(api: Api, given: Verification, node: int) -> Extra:
    """A draw from the residual norm(max(0, p - q)) after the path that ended at `node`."""
    token, q = given.tokens[node], given.draft.q[node]
    prefix = [*given.ids, *given.tokens[:node]]
    tested, count = 0, FIRST_DRAWS
    while tested < ALL_DRAWS:
        drawn = await api.draws(prefix, count, given.usage)
        probs = [(place.token, _drawn_prob(place, q)) for place in drawn]
        kept = first_kept(probs, q, token, given.chance, tested)
        if kept is not None:
            return Extra(drawn[kept].token, "resampled", None)
        tested, count = tested + len(drawn), min(2 * count, MOST_DRAWS)
    raise TargetError(
        f"None of {tested} draws of the endpoint could replace a rejected token: draft and target are almost equal.",
        "Choose the mode match, or greedy decoding.",
    )


def _one_known(place: ScoredToken, n_vocab: int) -> Distribution:
    """p of one token, with the rest of the vocabulary as one more token with the id n_vocab."""
    prob = min(1.0, _known_prob(place))
    return Distribution(np.array([prob, 1.0 - prob]), 1.0, np.array([place.token, n_vocab], np.int32))


def _row(place: ScoredToken, n_vocab: int) -> Row:
    if not place.top:
        raise _left_out()
    scores = place.known()
    size = n_vocab if len(scores) >= n_vocab else padded(n_vocab)
    try:
        return Row(np.array(list(scores), np.int32), np.array(list(scores.values())), len(place.top), size)
    except (ValueError, OverflowError) as error:
        raise TargetError(
            f"The endpoint's scores are not the raw log-probabilities of a model ({reason_of(error)}).",
            "Choose the mode match.",
        ) from error


def padded(n_vocab: int) -> int:
    """At least the number of rows of the model's output: an endpoint computes with padding that files leave out."""
    return -(-n_vocab // _PADDING) * _PADDING


def most_probable(place: ScoredToken) -> int:
    """The argmax over the known scores; of equal ones the lowest id. UNKNOWN_TOKEN if its text does not identify it."""
    if not place.top:
        raise _left_out()
    known = place.known()
    largest = max(known.values())
    best = {token for token, logprob in known.items() if logprob == largest}
    return min(best - {UNKNOWN_TOKEN}, default=UNKNOWN_TOKEN)


def _known_prob(place: ScoredToken) -> float:
    if place.logprob is None:
        raise _left_out()
    return float(np.exp(place.logprob))


def _drawn_prob(place: ScoredToken, q: Support | None) -> float:
    """p of a draw. A draw that q gives no probability is kept whatever p is, so that p need not be known."""
    if place.logprob is None and (q is None or q.prob(place.token) == 0.0):
        return 1.0
    return _known_prob(place)


def _left_out() -> TargetError:
    return TargetError("The endpoint left out scores that it was asked for.", "Choose the mode match.")


def _prob(place: ScoredToken) -> float | None:
    return None if place.logprob is None else float(np.exp(place.logprob))


def _status(checks: Sequence[Check]) -> Status:
    if not checks:
        return "plain"
    return "resampled" if checks[-1].status == "rejected" else "bonus"


def first(draft: Draft, count: int) -> Draft:
    """The first `count` tokens of a draft. Only chosen tokens can be left out: a drawn one must be tested."""
    if count == len(draft):
        return draft
    if any(q is not None for q in draft.q[count:]):
        raise ValueError("expected a draft of chosen tokens, got drawn ones")
    return Draft.chain(draft.round, draft.tokens[:count].tolist(), draft.q[:count], "cut", draft.scores[:count])
