"""A target in this process: one forward pass over the last committed token and the draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.rejection import Decision, verify_tokens
from speculatoviz.core.sampling import distribution, scores
from speculatoviz.core.types import (
    ROOT,
    Check,
    Draft,
    Drafting,
    Exactness,
    Extra,
    Floats,
    Limits,
    Request,
    Sampling,
    Verdict,
)
from speculatoviz.errors import CancelledError
from speculatoviz.models.base import Description, LanguageModel, Tokenizer, Window

EXACT = Exactness(
    "exact",
    "The target scores every draft in this process, and modified rejection sampling keeps its distribution.",
)


def decide(
    draft: Draft, logits: Floats, request: Request, chance: Chance, clock: Callable[[], float], alternatives: int
) -> Verdict:
    """Judge a chain by the target's rows behind the last committed token and behind each of its nodes.

    logits: float[n + 1, V]. alternatives: how many to report per token, where the request wants evidence.
    """
    decision = verify_tokens(draft, lambda node: distribution(logits[node + 1], request.sampling), chance)
    decided = clock()
    checks, extra = decision.checks, decision.extra
    if request.evidence:
        checks, extra = _shown(decision, draft, logits, alternatives)
    return Verdict(decision.path, extra, checks, evidence_ms=(clock() - decided) * 1000)


def committed(draft: Draft, verdict: Verdict) -> list[int]:
    """The ids a verdict adds: the accepted path and the token behind it."""
    return [*draft.tokens[list(verdict.path)].tolist(), verdict.extra.token]


def _shown(decision: Decision, draft: Draft, logits: Floats, alternatives: int) -> tuple[tuple[Check, ...], Extra]:
    """Add the target's raw opinions, for display."""
    parents = draft.parents
    checks = tuple(
        replace(c, target=scores(logits[parents[c.node] + 1], c.token, alternatives)) for c in decision.checks
    )
    last = decision.path[-1] if decision.path else ROOT
    extra = replace(
        decision.extra,
        target=scores(logits[last + 1], decision.extra.token, alternatives),
        residual=decision.final.top(alternatives) if decision.extra.status == "resampled" else (),
    )
    return checks, extra


class LocalTarget:
    """Verifies chains with a language model of this process.

    clock: seconds. chance: makes the random choices of a seed. alternatives: how many to report per token.
    """

    def __init__(
        self,
        model: LanguageModel,
        size: int,
        clock: Callable[[], float],
        chance: Callable[[int], ChanceSource] = seeded,
        alternatives: int = 8,
    ) -> None:
        self.model = model
        self.window = Window(model, size)
        self._clock, self._chance_of, self._alternatives = clock, chance, alternatives
        self._request = Request((0,), Sampling(), Limits(0))
        self._ids: list[int] = []

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.tokenizer

    @property
    def context_tokens(self) -> int:
        return self.window.context.size

    @property
    def description(self) -> Description:
        return self.model.description

    @property
    def ids(self) -> tuple[int, ...]:
        """What is committed."""
        return tuple(self._ids)

    @property
    def drafting(self) -> Drafting:
        return Drafting()

    def claim(self, request: Request) -> Exactness:
        del request
        return EXACT

    def begin(self, request: Request) -> Exactness:
        if todo := self.take_up(request):
            self.window.catch_up(todo, request.cancelled)
        return EXACT

    def take_up(self, request: Request) -> list[int]:
        """Commit to the request's prompt; the ids that have to be fed before the first draft can be judged."""
        self._request, self._ids = request, list(request.prompt)
        return self.window.align(self._ids[:-1])

    def submit(self, draft: Draft) -> LocalPending:
        return LocalPending(self, draft)

    def verify(self, draft: Draft) -> Verdict:
        """One pass, one decision; afterwards the context holds the committed ids minus the last."""
        return self.judge(draft, self.window.feed(self.rows_for(draft)))

    def rows_for(self, draft: Draft) -> list[int]:
        """What a pass has to feed to judge a draft: the last committed token and the draft."""
        if not draft.is_chain:
            raise ValueError("expected a chain, got a tree")
        return [self._ids[-1], *draft.tokens.tolist()]

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        """Decide by the rows of `rows_for`, float[n + 1, V], which the window has just been fed."""
        chance = self._chance_of(self._request.seed)("verify", draft.round)
        verdict = decide(draft, logits, self._request, chance, self._clock, self._alternatives)
        self.window.keep(len(self._ids) + len(verdict.path))
        self._ids += committed(draft, verdict)
        return verdict

    def close(self) -> None:
        self.window.close()

    def check_cancelled(self) -> None:
        if self._request.cancelled():
            raise CancelledError


class LocalPending:
    """The pass runs when the result is asked for, in the asking thread."""

    def __init__(self, target: LocalTarget, draft: Draft) -> None:
        self._target, self._draft, self._cancelled = target, draft, False

    def done(self) -> bool:
        return True

    def result(self) -> Verdict:
        self._target.check_cancelled()
        if self._cancelled:
            raise CancelledError
        return self._target.verify(self._draft)

    def cancel(self) -> None:
        self._cancelled = True
