"""How a draft is verified behind an endpoint that samples, or scores given tokens, but knows nothing of drafts.

p is the target's distribution, q the draft's. Every mode works over an `Api`, which is what an endpoint offers:

- `match`: the endpoint draws a token behind every prefix of the draft; the draft stands while it equals them.
- `greedy`: at T=0, the endpoint's most probable token behind every prefix.
- `thinned`: at T=1 without filters, p of every drafted token, and draws from p where one is rejected.
- `rows`: the most probable tokens of every place, where the sampling keeps only those.
- `bounded`: the same where it keeps others too, with a bound on what they could change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.rounds import Check, Extra, Verdict
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.truncated import Row, estimate, first_kept
from speculatoviz.core.types import Draft, Label, Limits, Sampling, Scores, Status, Support
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.endpoint import Bill

RAW = Sampling(1.0)
UNKNOWN = -1  # stands for a token that an endpoint named ambiguously
FIRST_DRAWS, MOST_DRAWS, ALL_DRAWS = 4, 128, 16_384


class Said(NamedTuple):
    """A token at one place, given or drawn by the endpoint, and what the endpoint said of it.

    logprob and top ((id, log-probability), most probable first) are raw: T=1, unfiltered; None and empty where the
    endpoint does not tell.
    """

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Api(Protocol):
    """What an endpoint offers, whatever its routes are called. All raise TargetError."""

    async def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, bill: Bill) -> list[Said]:
        """One token behind each prompt, drawn independently. top: how many alternatives to tell, if it can."""

    async def draws(self, prompt: Sequence[int], count: int, bill: Bill) -> list[Said]:
        """Independent draws behind one prompt at T=1 without filters, with their log-probabilities."""

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, bill: Bill
    ) -> tuple[list[Said], Said]:
        """What the endpoint says of each of ids[start:], and one token drawn behind them all."""

    def stream(self, prompt: Sequence[int], sampling: Sampling, limits: Limits) -> AsyncIterator[int]:
        """Plain decoding in one call; an end token comes last."""

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        """How many drafted tokens can be sent behind `ids` so that the endpoint reads those very tokens.

        Raises TargetError where `ids` themselves cannot be sent.
        """


@dataclass(frozen=True, slots=True)
class Turn:
    """One verification: the committed ids, the draft behind them, and the chances of its round."""

    ids: Sequence[int]
    draft: Draft
    sampling: Sampling
    chance: Chance
    bill: Bill
    n_vocab: int
    alternatives: int = 0

    @property
    def tokens(self) -> list[int]:
        tokens: list[int] = self.draft.tokens.tolist()
        return tokens


def tops(said: Said) -> Mapping[int, float]:
    """Every log-probability the endpoint told of one place."""
    told = dict(said.top)
    if said.logprob is not None:
        told.setdefault(said.token, said.logprob)
    return told


async def match(api: Api, turn: Turn) -> Verdict:
    """Sample-and-match: exact at any sampling, because every emitted token is one the endpoint drew itself.

    A drafted token only decides whether the next of the draws stands behind what was emitted.
    """
    tokens = turn.tokens
    prompts = [[*turn.ids, *tokens[:depth]] for depth in range(len(tokens) + 1)]
    drawn = await api.sample(prompts, turn.sampling, turn.alternatives, turn.bill)
    return shown(compared(tokens, drawn), drawn)


def shown(verdict: Verdict, places: Sequence[Said]) -> Verdict:
    """Add what the endpoint told of each place anyway, for display: places[n] is behind n drafted tokens."""
    checks = tuple(replace(check, target=_scores(places[check.node], check.token)) for check in verdict.checks)
    end = len(verdict.path)
    told = _scores(places[end], verdict.extra.token) if end < len(places) else None
    return replace(verdict, checks=checks, extra=replace(verdict.extra, target=told))


def _scores(said: Said, token: int) -> Scores | None:
    told = tops(said)
    return Scores(told.get(token), None, said.top) if told else None


def compared(tokens: Sequence[int], drawn: Sequence[Said]) -> Verdict:
    """Keep drafted tokens while the endpoint's own equal them, and the first one that does not, or the last."""
    checks = list[Check]()
    for node, token in enumerate(tokens):
        status: Status = "accepted" if drawn[node].token == token else "rejected"
        checks.append(Check(node, token, status, None, None, None, None))
        if status == "rejected":
            break
    accepted = sum(check.status == "accepted" for check in checks)
    extra = Extra(drawn[accepted].token, _status(checks), None)
    return Verdict(tuple(range(accepted)), extra, tuple(checks))


async def greedy(api: Api, turn: Turn) -> Verdict:
    """At T=0: the endpoint's most probable token of every place, in one request; exact."""
    scored, behind = await api.score([*turn.ids, *turn.tokens], len(turn.ids), turn.sampling, 1, turn.bill)
    best = [_best(said) for said in scored]
    verdict = compared(turn.tokens, [*(Said(token) for token in best), behind])
    if verdict.extra.token == UNKNOWN:
        prefix = [*turn.ids, *turn.tokens[: len(verdict.path)]]
        (said,) = await api.sample([prefix], turn.sampling, 0, turn.bill)
        verdict = replace(verdict, extra=replace(verdict.extra, token=said.token))
    checks = [
        replace(check, target_prob=float(accepted), draft_prob=None, acceptance_prob=float(accepted))
        for check in verdict.checks
        for accepted in [check.status == "accepted"]
    ]
    certain = replace(verdict, checks=tuple(checks), extra=replace(verdict.extra, target_prob=1.0))
    return shown(certain, [*scored, behind])


async def thinned(api: Api, turn: Turn) -> Verdict:
    """At T=1 without filters: p of the drafted tokens decides, and where one falls, draws from p are thinned.

    Exact: the test needs p of the drafted token alone, the token behind a whole draft is the endpoint's own, and a
    thinned draw has the residual's distribution (see core.truncated).
    """
    tokens = turn.tokens
    scored, behind = await api.score([*turn.ids, *tokens], len(turn.ids), turn.sampling, 0, turn.bill)
    if not tokens:
        return shown(Verdict((), Extra(behind.token, "plain", _prob(behind)), ()), [behind])

    def target(node: int) -> Distribution:
        place = node + 1
        return _one_known(scored[place], turn.n_vocab) if place < len(tokens) else Distribution(np.ones(1), 1.0)

    decision = verify_tokens(turn.draft, target, turn.chance)
    if decision.extra.status == "bonus":
        extra = Extra(behind.token, "bonus", _prob(behind))
    else:
        extra = await _residual(api, turn, decision.checks[-1].node)
    return shown(Verdict(decision.path, extra, decision.checks), [*scored, behind])


async def rows(api: Api, turn: Turn, top: int) -> Verdict:
    """From the `top` most probable tokens of every place, where those are all that the sampling keeps: exact."""
    scored, behind = await api.score([*turn.ids, *turn.tokens], len(turn.ids), RAW, top, turn.bill)
    return _by_rows(turn, [*scored, behind._replace(logprob=None)], None)


async def bounded(api: Api, turn: Turn, top: int) -> Verdict:
    """From the `top` most probable tokens of every place, with a bound on what the others could change.

    The token behind a whole draft is the endpoint's own, which is exact.
    """
    scored, behind = await api.score([*turn.ids, *turn.tokens], len(turn.ids), turn.sampling, top, turn.bill)
    return _by_rows(turn, scored, behind.token)


def _by_rows(turn: Turn, places: Sequence[Said], behind: int | None) -> Verdict:
    """behind: the token behind a whole draft; None where the last of `places` is what it is drawn from."""
    bounds = dict[int, float]()

    def target(node: int) -> Distribution:
        if node + 1 == len(places):
            return Distribution(np.ones(1), 1.0)
        p, bounds[node] = estimate(_row(places[node + 1], turn.n_vocab), turn.sampling)
        return p

    decision = verify_tokens(turn.draft, target, turn.chance)
    extra = decision.extra
    if extra.status == "resampled" and turn.alternatives:
        extra = replace(extra, residual=decision.final.top(turn.alternatives))
    elif extra.status != "resampled" and behind is not None:
        extra = Extra(behind, extra.status, None)
    bound = sum(bounds.values())
    label: Label = "bounded" if bound > 0.0 else "exact"
    return shown(Verdict(decision.path, extra, decision.checks, label, bound), places)


async def _residual(api: Api, turn: Turn, node: int) -> Extra:
    """A draw from norm(max(0, p - q)) behind the path that ended at `node`."""
    token, q = turn.tokens[node], turn.draft.q[node]
    prefix = [*turn.ids, *turn.tokens[:node]]
    tested, count = 0, FIRST_DRAWS
    while tested < ALL_DRAWS:
        drawn = await api.draws(prefix, count, turn.bill)
        probs = [(said.token, _drawn_prob(said, q)) for said in drawn]
        kept = first_kept(probs, q, token, turn.chance, tested)
        if kept is not None:
            return Extra(drawn[kept].token, "resampled", None)
        tested, count = tested + len(drawn), min(2 * count, MOST_DRAWS)
    raise TargetError(
        f"None of {tested} draws of the endpoint could replace a rejected token: draft and target agree too closely.",
        "Choose the mode match, or greedy decoding.",
    )


def _one_known(said: Said, n_vocab: int) -> Distribution:
    """p of one token, with the rest of the vocabulary as one more."""
    prob = min(1.0, _known(said))
    return Distribution(np.array([prob, 1.0 - prob]), 1.0, np.array([said.token, n_vocab], np.int32))


def _row(said: Said, n_vocab: int) -> Row:
    told = dict(said.top)
    top_n = len(told)
    if said.logprob is not None and said.token not in told:
        told[said.token] = said.logprob
    ids, logprobs = np.array(list(told), np.int32), np.array(list(told.values()))
    try:
        return Row(ids, logprobs, top_n, n_vocab if len(told) >= n_vocab else padded(n_vocab))
    except ValueError as error:
        raise TargetError(
            f"The endpoint's scores cannot be a model's raw opinion ({error}).", "Choose the mode match."
        ) from error


def padded(n_vocab: int) -> int:
    """At least as many rows as the model's output has: files may leave out padding that the endpoint computes with."""
    return -(-n_vocab // 512) * 512


def _best(said: Said) -> int:
    told = tops(said)
    if not told:
        raise TargetError("The endpoint left out scores that it was asked for.", "Choose the mode match.")
    largest = max(told.values())
    if said.logprob == largest:  # of equal scores, the drafted token is as good as any
        return said.token
    return min(token for token, logprob in told.items() if logprob == largest)


def _known(said: Said) -> float:
    if said.logprob is None:
        raise TargetError("The endpoint left out scores that it was asked for.", "Choose the mode match.")
    return float(np.exp(said.logprob))


def _drawn_prob(said: Said, q: Support | None) -> float:
    """p of a draw; what q never proposes, or always does, is kept or not whatever it is."""
    if said.logprob is None and (q is None or q.prob(said.token) == 0.0):
        return 1.0
    return _known(said)


def _prob(said: Said) -> float | None:
    return None if said.logprob is None else float(np.exp(said.logprob))


def _status(checks: Sequence[Check]) -> Status:
    if not checks:
        return "plain"
    return "resampled" if checks[-1].status == "rejected" else "bonus"


def first(draft: Draft, count: int) -> Draft:
    """The draft's first tokens. Only chosen tokens may be left out: what was drawn must be tested."""
    if count == len(draft):
        return draft
    if any(q is not None for q in draft.q[count:]):
        raise ValueError("expected a draft that was chosen, got one that was drawn")
    return Draft.chain(draft.round, draft.tokens[:count].tolist(), draft.q[:count], "cut", draft.scores[:count])
