"""A target in this process: one forward pass over the last committed token and the draft, chain or tree.

V: size of the vocabulary. n: nodes of a draft. r: rows of a pass, as `layout` lays them out; 1 + n for a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.compared import READS_Q, compared, compared_checks
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.overlaps import overlaps
from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Check, Extra, Verdict
from speculatoviz.core.rules import RULES
from speculatoviz.core.sampling import Distribution, distribution, largest_prob, scores
from speculatoviz.core.types import ROOT, Draft, Drafting, Exactness, Floats, Need, Request, Rule, Sampling
from speculatoviz.errors import BadRequestError, CancelledError
from speculatoviz.models.base import (
    IN_WORDS,
    PREFILL_TOKENS,
    Capability,
    Description,
    LanguageModel,
    Tokenizer,
    check_finite,
)
from speculatoviz.models.rewinder import RollbackModel
from speculatoviz.models.window import Window, WindowFeed
from speculatoviz.targets.layout import Layout, layout

MOST_TOKENS = PREFILL_TOKENS - 1  # of a draft: one pass computes it together with the last committed token
NEEDED_OF_A_RUNTIME: dict[Need, Capability] = {"hidden": "hidden", "layers": "layers", "probes": "trees"}


def claim(request: Request, where: str) -> Exactness:
    """The label of the request's rule for a target that scores every draft itself. where: in words, for the reason."""
    rule = RULES[request.rule]
    return Exactness(rule.label, f"The target scores every draft {where}, and {rule.reason}.")


def decide(
    draft: Draft,
    logits: Floats,
    rows: Layout,
    request: Request,
    ids: Sequence[int],
    chance: Chance,
    clock: Callable[[], float],
    alternatives: int,
) -> Verdict:
    """Apply the request's rule to a draft.

    logits float[r, V]: of one pass. rows: the row of each node. ids: the committed ids. chance: of the round. clock:
    seconds. alternatives: how many to report per token, if the request asks for evidence. Raises ModelError if a row
    that the decision needs is not finite.
    """
    rule = RULES[request.rule]
    used: dict[int, Distribution] = {}
    processed = _processed(draft, logits, rows, LogitsProcessor(request, ids))

    def target_distribution(node: int) -> Distribution:
        check_finite(logits[rows.row(node)], "The target")
        p = distribution(processed(node), request.sampling)
        if request.evidence:  # to keep it costs less than to compute it again
            used[node] = p
        return p

    decision = rule.verify(draft, target_distribution, chance)
    certainty = largest_prob(processed(ROOT), request.sampling) if request.certainty else None
    probed = tuple(int(logits[row].argmax()) for row in rows.probe_rows)
    decided_s = clock()
    checks, extra = decision.checks, decision.extra
    if request.evidence:
        checks, extra = _with_scores(decision, draft, logits, rows, alternatives)
        checks, extra = _with_compared(checks, extra, decision, draft, request.rule, used, alternatives)
        checks = _with_overlaps(checks, draft, used, processed, request)
    evidence_ms = (clock() - decided_s) * 1000
    return Verdict(
        decision.path, extra, checks, rule.label, evidence_ms=evidence_ms, probed=probed, certainty=certainty
    )


def _processed(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Callable[[int], Floats]:
    """The logits float[V] after a node, or after ROOT, changed by the tokens before it on its own path."""
    if not processor.active:
        return lambda node: logits[rows.row(node)]

    def of(node: int) -> Floats:
        return processor(logits[rows.row(node)], draft.tokens[draft.path(node)].tolist())

    return cache(of)


def committed(draft: Draft, verdict: Verdict) -> list[int]:
    """The ids that a verdict commits: the accepted path and the extra token after it."""
    return [*draft.tokens[list(verdict.path)].tolist(), verdict.extra.token]


def _with_scores(
    decision: Decision, draft: Draft, logits: Floats, rows: Layout, alternatives: int
) -> tuple[tuple[Check, ...], Extra]:
    """The checks and the extra token with the target's raw scores (T=1, no filters), for display."""
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


def _with_compared(
    checks: tuple[Check, ...],
    extra: Extra,
    decision: Decision,
    draft: Draft,
    rule: Rule,
    used: Mapping[int, Distribution],
    alternatives: int,
) -> tuple[tuple[Check, ...], Extra]:
    """The checks and the extra token with p and q as the rule used them, for display. used[node]: p after a node."""
    rows = compared_checks(decision, draft, rule, used.__getitem__, alternatives)
    checks = tuple(replace(check, compared=rows[check.node]) for check in checks)
    if extra.status == "resampled" and rule in READS_Q:  # drawn from the residual of the test that failed
        return checks, extra
    last = decision.path[-1] if decision.path else ROOT
    return checks, replace(extra, compared=compared(used[last], None, [extra.token], alternatives))


def _with_overlaps(
    checks: tuple[Check, ...],
    draft: Draft,
    used: Mapping[int, Distribution],
    processed: Callable[[int], Floats],
    request: Request,
) -> tuple[Check, ...]:
    """The checks with the overlap of p and q at each. used[node]: p after a node. processed: the logits there."""
    sampling = request.sampling
    alone = Sampling(sampling.temperature)

    def unfiltered(node: int) -> Distribution:
        return distribution(processed(node), alone)

    cut = cache(unfiltered) if sampling.filtered and not sampling.greedy else None
    found = overlaps(draft, checks, used.__getitem__, cut, request.rule)
    return tuple(replace(check, overlap=overlap) for check, overlap in zip(checks, found, strict=True))


def most_drafted(model: LanguageModel) -> int:
    """The most tokens of a draft: what one pass takes, and what the model rolls back after it."""
    rollback = model.rollback_tokens if isinstance(model, RollbackModel) else None
    return MOST_TOKENS if rollback is None else min(MOST_TOKENS, rollback)


class LocalTarget:
    """Verifies drafts with a language model of this process.

    size: tokens of its context. clock: seconds. chance: makes the random choices of a seed. alternatives: how many to
    report per token. window: a context of the model to use, instead of a new one. Raises ContextFullError if the model
    has no room for the context.
    """

    def __init__(
        self,
        model: LanguageModel,
        size: int,
        clock: Callable[[], float],
        chance: Callable[[int], ChanceSource] = seeded,
        alternatives: int = 8,
        *,
        window: Window | None = None,
    ) -> None:
        self.model = model
        self.window = window or Window(model, size)
        self._most_drafted = most_drafted(model)
        self.remote = None
        self._clock, self._chance_of, self._alternatives = clock, chance, alternatives
        self._begun: Request | None = None
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
        """The committed ids."""
        return tuple(self._ids)

    @property
    def request(self) -> Request:
        """The request of the last `begin`. Raises RuntimeError before it."""
        if self._begun is None:
            raise RuntimeError("begin() must be called before submit()")
        return self._begun

    @property
    def drafting(self) -> Drafting:
        trees = "trees" in self.model.provides and RULES[self.request.rule].trees
        return Drafting(trees=trees, tokens=self._most_drafted)

    def claim(self, request: Request) -> Exactness:
        lacking = {NEEDED_OF_A_RUNTIME[need] for need in request.needs} - self.model.provides
        if lacking:
            raise BadRequestError(
                f"{self.description.runtime} gives no {' and no '.join(IN_WORDS[name] for name in sorted(lacking))}, "
                "which this drafter needs.",
                "Choose another drafter, or another runtime for the target.",
            )
        return claim(request, "in this process")

    def begin(self, request: Request) -> Exactness:
        if missing := self.commit_prompt(request):
            self.window.catch_up(missing, request.cancelled)
        return self.claim(request)

    def commit_prompt(self, request: Request) -> list[int]:
        """`begin` without the prefill. Returns the ids that must be fed before the first draft can be judged."""
        self._begun, self._ids = request, list(request.prompt)
        self.window.record("hidden" in request.needs, "layers" in request.needs)
        return self.window.align(self._ids[:-1])

    def submit(self, draft: Draft) -> LocalPending:
        return LocalPending(self, draft)

    def verify(self, draft: Draft) -> Verdict:
        """Feed and judge a draft in one pass. Afterwards the context holds all committed ids but the last."""
        feed = self.feed_of(draft)
        logits = self.window.feed(feed.tokens, feed.rows, feed.parents)
        shared = self.window.passes.shared
        verdict = self.judge(draft, logits)
        return verdict if shared is None else replace(verdict, shared=shared)

    def feed_of(self, draft: Draft) -> WindowFeed:
        """The feed whose logits decide about a draft: the last committed token, then the draft."""
        rows = layout(self._ids[-1], draft)
        return WindowFeed(self.window, rows.tokens, "all", rows.parents)

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        """Decide about a draft and commit the outcome. logits float[r, V]: of `feed_of(draft)`, just computed."""
        rows = layout(self._ids[-1], draft)
        chance = self._chance_of(self.request.seed)("verify", draft.round)
        given = self.request.alternatives
        alternatives = self._alternatives if given is None else given
        begun_s = self._clock()
        verdict = decide(draft, logits, rows, self.request, self._ids, chance, self._clock, alternatives)
        decided_s = self._clock()
        self.window.accept([0, *(rows.node_rows[node] for node in verdict.path)])
        cache_ms = 1000 * (self._clock() - decided_s)
        self._ids += committed(draft, verdict)
        return replace(verdict, sampling_ms=1000 * (decided_s - begun_s) - verdict.evidence_ms, cache_ms=cache_ms)

    def close(self) -> None:
        self.window.close()

    def check_cancelled(self) -> None:
        """Raises CancelledError once the request is cancelled."""
        if self.request.cancelled():
            raise CancelledError


class LocalPending:
    """The pass is computed by the thread that asks for the result."""

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
