"""A second, cheaper language model drafts (Leviathan et al. 2023; Chen et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import covered_mass, quantised, scores, support
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


@dataclass(slots=True)
class _Ahead:
    """A draft begun before the round it is for: behind `prefix`, what was chosen so far."""

    prefix: list[int]
    round: int
    choices: list[_Choice] = field(default_factory=list)


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
        self._ahead: _Ahead | None = None

    def begin(self, request: Request) -> None:
        self._request, self._ahead = request, None
        if max(request.prompt) < self.window.model.tokenizer.n_vocab:
            self.window.prefill(request.prompt[:-1], request.cancelled)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        if max(prefix) >= self.window.model.tokenizer.n_vocab:
            return Draft.empty(round)  # a row the target has and this model has not: it cannot read on
        ahead, self._ahead = self._ahead, None
        held = ahead is not None and ahead.round == round and ahead.prefix == prefix
        choices = ahead.choices[: plan.depth] if ahead is not None and held else []
        self._grow(prefix, choices, plan.depth, chance, lambda: False)
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

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, stop: Callable[[], bool]) -> None:
        self._ahead = None
        if stop() or max(prefix) >= self.window.model.tokenizer.n_vocab:
            return
        logits = self.window.catch_up(self.window.missing(prefix), self._request.cancelled)[0, : self._common]
        guess = int(logits.argmax())
        if guess in self._request.limits.end_ids:
            return
        ahead = _Ahead([*prefix, guess], round)
        self._grow(ahead.prefix, ahead.choices, plan.depth, chance, stop)
        # What was computed for display while the target was busy took none of the next round's time.
        ahead.choices = [choice._replace(evidence_ms=0.0) for choice in ahead.choices]
        self._ahead = ahead

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        self.window.close()

    def _grow(
        self, prefix: list[int], choices: list[_Choice], depth: int, chance: Chance, stop: Callable[[], bool]
    ) -> None:
        """Choose on behind `prefix` and the choices there are, up to `depth`, an end token or `stop`."""
        ends = self._request.limits.end_ids
        while len(choices) < depth and not (choices and choices[-1].token in ends) and not stop():
            if self._request.cancelled():
                raise CancelledError
            # After full acceptance the last drafted token was never fed: it rides along here, behind the prefix.
            todo = self.window.missing([*prefix, *(choice.token for choice in choices)])
            choices.append(self._next(todo, len(choices), chance))

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
        sampling, wanted = self._request.sampling, self._request.drafting
        if sampling.greedy or not wanted.sampled:
            return int(logits.argmax()), None
        size = min(self._support_size, wanted.support_size or self._support_size)
        q = support(logits, sampling, size)
        if wanted.quantised:
            q = quantised(q)
        return int(q.ids[chance.draw(q.probs, node)]), q


def check_vocabulary(draft: Tokenizer, target: Tokenizer) -> None:
    if draft.fingerprint != target.fingerprint:
        raise VocabularyMismatchError(
            f"The draft's vocabulary ({draft.fingerprint}, {draft.n_vocab} tokens) is not the target's "
            f"({target.fingerprint}, {target.n_vocab} tokens).",
            "Choose two models of one family, or draft with the ngram drafter.",
        )
