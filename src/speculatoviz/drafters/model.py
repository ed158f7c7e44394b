"""A second, cheaper language model drafts (Leviathan et al. 2023; Chen et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import covered_mass, scores, support
from speculatoviz.core.types import Draft, Floats, Limits, Plan, Request, Round, Sampling, Scores, Support
from speculatoviz.errors import CancelledError, VocabularyMismatchError
from speculatoviz.models.base import LanguageModel, Tokenizer, Window


class _Choice(NamedTuple):
    token: int
    q: Support | None
    scores: Scores | None
    mass: float | None
    ms: float
    evidence_ms: float


class ModelDrafter:
    """Samples a chain from a draft model, whose cache is rewound to what was committed before each round.

    It reads and writes ids alone, those common to both: text, templates and ends are the target's.
    support_size: at T>0 it draws from its own most probable tokens, renormalised; at T=0 it takes the argmax.
    clock: seconds. alternatives: how many to report per token.
    Raises VocabularyMismatchError where draft and target do not share their used ids.
    """

    name = "model"

    def __init__(
        self,
        model: LanguageModel,
        target: Tokenizer,
        size: int,
        clock: Callable[[], float],
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        check_vocabulary(model.tokenizer, target)
        self._common = min(model.tokenizer.n_vocab, target.n_vocab)
        self.window = Window(model, size)
        self._clock = clock
        self._support_size, self._alternatives = support_size, alternatives
        self._request = Request((0,), Sampling(), Limits(0))

    def begin(self, request: Request) -> None:
        self._request = request
        if max(request.prompt) < self.window.model.tokenizer.n_vocab:
            self.window.prefill(request.prompt[:-1], request.cancelled)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        choices: list[_Choice] = []
        if max(prefix) >= self.window.model.tokenizer.n_vocab:
            return Draft.empty(round)  # a row the target has and this model has not: it cannot read on
        # After full acceptance the last drafted token was never fed: it rides along here, behind the prefix.
        todo = self.window.missing(prefix)
        while len(choices) < plan.depth:
            if self._request.cancelled():
                raise CancelledError
            choice = self._next(todo, len(choices), chance)
            choices.append(choice)
            if choice.token in self._request.limits.end_ids:
                break
            todo = [choice.token]
        return Draft.chain(
            round,
            [c.token for c in choices],
            tuple(c.q for c in choices),
            self.name,
            scores=tuple(c.scores for c in choices),
            times_ms=tuple(c.ms for c in choices),
            evidence_ms=sum(c.evidence_ms for c in choices),
            covered_mass=tuple(c.mass for c in choices),
        )

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        self.window.close()

    def _next(self, todo: list[int], node: int, chance: Chance) -> _Choice:
        begun = self._clock()
        logits = self.window.catch_up(todo, self._request.cancelled)[0, : self._common]
        token, q = self._choose(logits, node, chance)
        chosen = self._clock()
        shown = scores(logits, token, self._alternatives) if self._request.evidence else None
        mass = covered_mass(logits, q, self._request.sampling) if self._request.evidence and q else None
        evidence_ms = (self._clock() - chosen) * 1000
        return _Choice(token, q, shown, mass, (chosen - begun) * 1000, evidence_ms)

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None]:
        if self._request.sampling.greedy:
            return int(logits.argmax()), None
        q = support(logits, self._request.sampling, self._support_size)
        return int(q.ids[chance.draw(q.probs, node)]), q


def check_vocabulary(draft: Tokenizer, target: Tokenizer) -> None:
    if draft.fingerprint != target.fingerprint:
        raise VocabularyMismatchError(
            f"The draft's vocabulary ({draft.fingerprint}, {draft.n_vocab} tokens) is not the target's "
            f"({target.fingerprint}, {target.n_vocab} tokens).",
            "Choose two models of one family, or draft with the ngram drafter.",
        )
