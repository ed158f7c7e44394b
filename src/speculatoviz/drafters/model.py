"""A second, cheaper language model drafts (Leviathan et al. 2023; Chen et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import covered_mass, quantised, scores, support, without
from speculatoviz.core.types import Draft, Floats, Limits, Need, Node, Plan, Request, Round, Sampling, Scores, Support
from speculatoviz.drafters.siblings import Place, widen
from speculatoviz.errors import CancelledError, VocabularyMismatchError
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.models.window import Window


class _Choice(NamedTuple):
    """A drafted token by the target's id, and by the draft's: what it is fed to go on."""

    token: int
    fed: int
    q: Support | None
    scores: Scores | None
    mass: float | None
    ms: float
    evidence_ms: float
    others: Support | None = None  # what siblings would be taken from
    prob: float = 1.0  # of the token in the distribution that `others` is left of


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
    needs: frozenset[Need] = frozenset()

    def __init__(
        self,
        model: LanguageModel,
        target: Tokenizer,
        size: int,
        clock: Callable[[], float],
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        self._rows = self._fit(model.tokenizer, target)
        self.window = Window(model, size)
        self._clock = clock
        self._support_size, self._alternatives = support_size, alternatives
        self._request = Request((0,), Sampling(), Limits(0))
        self._ahead: _Ahead | None = None
        self._pass_ms = 0.0
        self._spare = 0

    def begin(self, request: Request) -> None:
        self._request, self._ahead = request, None
        ids = self._read(list(request.prompt))
        if ids is not None and len(ids) <= self.window.context.size:
            self.window.prefill(ids[:-1], request.cancelled)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        ahead, self._ahead = self._ahead, None
        held = ahead is not None and ahead.round == round and ahead.prefix == prefix
        choices = ahead.choices[: plan.depth] if ahead is not None and held else []
        begun = len(choices)
        self._spare = plan.spare if self._request.drafting.trees else 0
        self._grow(prefix, choices, plan.depth, chance, lambda _pass_ms: True)
        nodes = [
            Node(c.token, node - 1, c.q, self.name, c.scores, c.ms, c.mass)  # ROOT is -1
            for node, c in enumerate(choices)
        ]
        drawn = None if self._deterministic else chance
        widen(nodes, _places(choices), self._spare, self.name, drawn, self._request.drafting.quantised)
        return replace(Draft.tree(round, nodes, sum(c.evidence_ms for c in choices)), ahead=begun)

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution of the one next token, for a mixture; at T=0 that at T=1. None where it cannot read on."""
        ids = self._read(prefix)
        if not ids or len(ids) > self.window.context.size:
            return None
        own = self._request.sampling
        return self._said(self._logits(self.window.missing(ids)), Sampling(1.0) if own.greedy else own)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        self._ahead = None
        self._spare = plan.spare if self._request.drafting.trees else 0
        # One pass finds the guess, and saves nothing without a second one.
        ids = self._read(prefix) if pays(2 * self._pass_ms) else None
        if not ids or len(ids) > self.window.context.size:
            return False
        guess = self._best(self._logits(self.window.missing(ids)))
        if guess in self._request.limits.end_ids:
            return False
        ahead = _Ahead([*prefix, guess], round)
        self._grow(ahead.prefix, ahead.choices, plan.depth, chance, pays)
        # What was computed for display while the target was busy took none of the next round's time.
        ahead.choices = [choice._replace(evidence_ms=0.0) for choice in ahead.choices]
        self._ahead = ahead
        return bool(ahead.choices)

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        self.window.close()

    def _grow(
        self, prefix: list[int], choices: list[_Choice], depth: int, chance: Chance, pays: Callable[[float], bool]
    ) -> None:
        """Choose on behind `prefix` and the choices there are, up to `depth` or an end token, while it `pays`.

        Chooses nothing behind what cannot be read, and no more than the context holds.
        """
        ids, ends = self._read(prefix), self._request.limits.end_ids
        if not ids:
            return
        depth = min(depth, self.window.context.size - len(ids) + 1)  # the last one is not fed
        while len(choices) < depth and not (choices and choices[-1].token in ends) and pays(self._pass_ms):
            if self._request.cancelled():
                raise CancelledError
            # After full acceptance the last drafted token was never fed: it rides along here, behind the prefix.
            choice = self._next(self.window.missing([*ids, *(c.fed for c in choices)]), len(choices), chance)
            if choice is None:
                break
            choices.append(choice)
            self._pass_ms = choice.ms + choice.evidence_ms

    def _next(self, todo: list[int], node: int, chance: Chance) -> _Choice | None:
        begun = self._clock()
        logits = self._logits(todo)
        choice = self._choose(logits, node, chance)
        if choice is None:
            return None
        token, q = choice
        fed = self._fed(token, logits)
        chosen = self._clock()
        shown = self._scores(logits, token) if self._request.evidence else None
        mass = self._covered(logits, q) if self._request.evidence and q else None
        evidence_ms = (self._clock() - chosen) * 1000
        made = _Choice(token, fed, q, shown, mass, (chosen - begun) * 1000, evidence_ms)
        return self._beside(made, logits) if self._spare else made

    def _beside(self, choice: _Choice, logits: Floats) -> _Choice:
        """The choice with what its siblings would be taken from."""
        own = choice.q or self._said(logits, Sampling(1.0))
        if own is None:
            return choice
        return choice._replace(others=without(own, choice.token), prob=own.prob(choice.token))

    def _logits(self, todo: list[int]) -> Floats:
        return self.window.catch_up(todo, self._request.cancelled)[0, : self._rows]

    @property
    def _deterministic(self) -> bool:
        return self._request.sampling.greedy or not self._request.drafting.sampled

    def _support(self, logits: Floats, sampling: Sampling) -> Support:
        """The draft model's own q, over its own ids."""
        size = min(self._support_size, self._request.drafting.support_size or self._support_size)
        return support(logits, sampling, size)

    def _draw(self, q: Support, node: int, chance: Chance) -> tuple[int, Support]:
        if self._request.drafting.quantised:
            q = quantised(q)
        return int(q.ids[chance.draw(q.probs, node)]), q

    # From here on, what another vocabulary changes: ids inside are the draft's, and those of tokens and q the target's.

    def _fit(self, draft: Tokenizer, target: Tokenizer) -> int:
        """How many rows of the draft's logits count."""
        check_vocabulary(draft, target)
        return min(draft.n_vocab, target.n_vocab)

    def _read(self, prefix: list[int]) -> list[int] | None:
        """What the draft model is fed for the committed ids; None where it cannot read on."""
        known = max(prefix) < self.window.model.tokenizer.n_vocab  # else a row that only the target has
        return prefix if known else None

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        """A token and the q it was drawn from, None for one chosen; None alone where there is nothing to say."""
        if self._deterministic:
            return self._best(logits), None
        return self._draw(self._support(logits, self._request.sampling), node, chance)

    def _said(self, logits: Floats, sampling: Sampling) -> Support | None:
        """What it says at a place, in the target's ids."""
        return self._support(logits, sampling)

    def _best(self, logits: Floats) -> int:
        return int(logits.argmax())

    def _fed(self, token: int, logits: Floats) -> int:
        del logits
        return token

    def _scores(self, logits: Floats, token: int) -> Scores:
        return scores(logits, token, self._alternatives)

    def _covered(self, logits: Floats, q: Support) -> float:
        return covered_mass(logits, q, self._request.sampling)


def _places(choices: Sequence[_Choice]) -> list[Place]:
    """The places of a chain, each below the one before."""
    places, reach = list[Place](), 1.0
    for node, choice in enumerate(choices):
        places.append(Place(node - 1, reach, choice.others, 1.0 - choice.prob, choice.scores))
        reach *= choice.prob
    return places


def check_vocabulary(draft: Tokenizer, target: Tokenizer) -> None:
    if draft.fingerprint != target.fingerprint:
        raise VocabularyMismatchError(
            f"The draft's vocabulary ({draft.fingerprint}, {draft.n_vocab} tokens) is not the target's "
            f"({target.fingerprint}, {target.n_vocab} tokens).",
            "Choose two models of one family, or draft with the ngram drafter.",
        )
