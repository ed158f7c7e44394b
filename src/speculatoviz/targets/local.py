"""A target in this process: one forward pass over the last committed token and the draft, chain or tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Check, Extra, Verdict
from speculatoviz.core.rules import RULES
from speculatoviz.core.sampling import Distribution, distribution, scores
from speculatoviz.core.types import ROOT, Draft, Drafting, Exactness, Floats, Limits, Need, Request, Sampling
from speculatoviz.errors import BadRequestError, CancelledError
from speculatoviz.models.base import PREFILL_TOKENS, Capability, Description, LanguageModel, Tokenizer, check_finite
from speculatoviz.models.window import Window, WindowFeed
from speculatoviz.targets.layout import Layout, layout

MOST_TOKENS = PREFILL_TOKENS - 1  # of a draft: it has to fit into one pass behind the last committed token
NEEDED_OF_A_RUNTIME: dict[Need, Capability] = {"hidden": "hidden", "probes": "trees"}


def claim(request: Request, where: str) -> Exactness:
    """What a target can say of a rule when it scores every draft itself. where: the model runs, in words."""
    rule = RULES[request.rule]
    return Exactness(rule.label, f"The target scores every draft {where}, and {rule.reason}.")


def decide(
    draft: Draft,
    logits: Floats,
    rows: Layout,
    request: Request,
    chance: Chance,
    clock: Callable[[], float],
    alternatives: int,
) -> Verdict:
    """Judge a draft by the target's rows of one pass, float[rows, V], laid out as `rows` says.

    alternatives: how many to report per token, where the request wants evidence. Raises ModelError if a row that the
    decision needs is not finite.
    """
    rule = RULES[request.rule]

    def target_distribution(node: int) -> Distribution:
        row = logits[rows.row(node)]
        check_finite(row, "The target")
        return distribution(row, request.sampling)

    decision = rule.verify(draft, target_distribution, chance)
    probed = tuple(int(logits[row].argmax()) for row in rows.probe_rows)
    decided = clock()
    checks, extra = decision.checks, decision.extra
    if request.evidence:
        checks, extra = _shown(decision, draft, logits, rows, alternatives)
    evidence_ms = (clock() - decided) * 1000
    return Verdict(decision.path, extra, checks, rule.label, evidence_ms=evidence_ms, probed=probed)


def committed(draft: Draft, verdict: Verdict) -> list[int]:
    """The ids a verdict adds: the accepted path and the token behind it."""
    return [*draft.tokens[list(verdict.path)].tolist(), verdict.extra.token]


def _shown(
    decision: Decision, draft: Draft, logits: Floats, rows: Layout, alternatives: int
) -> tuple[tuple[Check, ...], Extra]:
    """Add the target's raw opinions, for display."""
    above = draft.parents.tolist()
    checks = tuple(
        replace(c, target=scores(logits[rows.row(above[c.node])], c.token, alternatives)) for c in decision.checks
    )
    last = decision.path[-1] if decision.path else ROOT
    extra = replace(
        decision.extra,
        target=scores(logits[rows.row(last)], decision.extra.token, alternatives),
        residual=decision.final.top(alternatives) if decision.extra.status == "resampled" else (),
    )
    return checks, extra


class LocalTarget:
    """Verifies drafts with a language model of this process.

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
        return Drafting(trees="trees" in self.model.provides and RULES[self._request.rule].trees, tokens=MOST_TOKENS)

    def claim(self, request: Request) -> Exactness:
        lacking = {NEEDED_OF_A_RUNTIME[need] for need in request.needs} - self.model.provides
        if lacking:
            raise BadRequestError(
                f"{self.description.runtime} gives no {' and no '.join(sorted(lacking))}, which this drafter needs.",
                "Choose another drafter, or another runtime for the target.",
            )
        return claim(request, "in this process")

    def begin(self, request: Request) -> Exactness:
        if todo := self.take_up(request):
            self.window.catch_up(todo, request.cancelled)
        return self.claim(request)

    def take_up(self, request: Request) -> list[int]:
        """Commit to the request's prompt; the ids that have to be fed before the first draft can be judged."""
        self._request, self._ids = request, list(request.prompt)
        self.window.record("hidden" in request.needs)
        return self.window.align(self._ids[:-1])

    def submit(self, draft: Draft) -> LocalPending:
        return LocalPending(self, draft)

    def verify(self, draft: Draft) -> Verdict:
        """One pass, one decision; afterwards the context holds the committed ids minus the last."""
        wish = self.wish(draft)
        return self.judge(draft, self.window.feed(wish.tokens, wish.rows, wish.parents))

    def wish(self, draft: Draft) -> WindowFeed:
        """What a pass has to feed to judge a draft: the last committed token and the draft."""
        rows = layout(self._ids[-1], draft)
        return WindowFeed(self.window, rows.tokens, "all", rows.parents)

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        """Decide by the rows of `wish`, float[rows, V], which the window has just been fed."""
        rows = layout(self._ids[-1], draft)
        chance = self._chance_of(self._request.seed)("verify", draft.round)
        verdict = decide(draft, logits, rows, self._request, chance, self._clock, self._alternatives)
        self.window.accept([0, *(rows.node_rows[node] for node in verdict.path)])
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
