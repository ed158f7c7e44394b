"""A second, cheaper language model drafts (Leviathan et al. 2023; Chen et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.logits import LogitsProcessor, is_empty
from speculatoviz.core.planning import Outlook, Plan, StopRule
from speculatoviz.core.sampling import best_id, covered_mass, largest_prob, scores, support, top_ids, without
from speculatoviz.core.types import Draft, DraftEvidence, Floats, Ints, Node, Request, Sampling, Scores, Support
from speculatoviz.drafters.base import BaseDrafter, Pays
from speculatoviz.drafters.branch_points import BranchPoint, add_siblings
from speculatoviz.errors import VocabularyMismatchError
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.models.joint_pass import Passes
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.window import Window


class _SecondChoice(NamedTuple):
    """The most probable other token at a position.

    prob, first_prob: the draft model's probabilities of it and of the first choice.
    """

    token: int
    prob: float
    first_prob: float


class _Choice(NamedTuple):
    """A drafted token. token: its id for the target. draft_id: its id for the draft model, which is fed next.

    rest: what siblings would be taken from, None if no siblings are wanted. prob: of the token in the distribution
    that `rest` remains of. mass: the covered mass of q. second: what the token would be instead, None if it was not
    asked for.
    """

    token: int
    draft_id: int
    q: Support | None
    scores: Scores | None
    mass: float | None
    time_ms: float
    evidence_ms: float
    rest: Support | None = None
    prob: float = 1.0
    certainty: float | None = None
    evidence: DraftEvidence | None = None
    second: _SecondChoice | None = None


@dataclass(slots=True)
class _AheadDraft:
    """A draft that was begun before its round: for `round`, after `prefix`, the tokens chosen so far."""

    prefix: list[int]
    round: int
    choices: list[_Choice] = field(default_factory=list)


class ModelDrafter(BaseDrafter):
    """Drafts a chain with a draft model, whose cache is rewound to the committed tokens before each round.

    The draft model reads and writes token ids only; text, chat templates and end tokens are the target's.
    support_size: at T>0 the model draws from its own S most probable tokens, renormalised; at T=0 it takes the argmax.
    size: tokens of the draft model's context. clock: seconds. alternatives: how many to report for each token.
    prefixes: of the draft model, None to keep only the last one. passes: who computes them, see `Window`. Raises
    VocabularyMismatchError if draft and target do not have the same used ids.
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
        prefixes: PrefixCache | None = None,
        passes: Passes | None = None,
    ) -> None:
        self._rows = self._usable_rows(model.tokenizer, target)
        self.window = self._open(model, size, prefixes, passes)
        self._clock = clock
        self._support_size, self._alternatives = support_size, alternatives
        self._ahead: list[_AheadDraft] = []
        self._sent: tuple[list[int], list[_Choice]] = ([], [])  # the last draft and the ids before it
        self._guesses = False  # whether a draft was begun ahead in this run, so that second choices are of use
        self._pass_ms = 0.0  # of the last pass
        self._spare = 0  # nodes beyond a chain of full depth
        self._vocabulary: Ints | None = None  # the target's ids that it can propose, once a pass has shown them

    def _open(self, model: LanguageModel, size: int, prefixes: PrefixCache | None, passes: Passes | None) -> Window:
        return Window(model, size, prefixes, passes)

    def unread(self, prefix: list[int]) -> int:
        ids = self._draft_ids(prefix)
        return len(prefix) if ids is None else len(ids) - self.window.known(ids)

    def begin(self, request: Request) -> None:
        super().begin(request)
        self._ahead, self._guesses = [], False
        ids = self._draft_ids(list(request.prompt))
        if ids is not None and len(ids) <= self.window.context.size:
            self.window.prefill(ids[:-1], request.cancelled)

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._ahead = []
        self.window.clear()

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        ahead, self._ahead = self._ahead, []
        right = (guess.choices for guess in ahead if guess.round == round and guess.prefix == prefix)
        choices = next(right, [])[: plan.depth]
        drafted_ahead = len(choices)
        self._spare = plan.spare if self.request.drafting.trees else 0
        self._extend(prefix, choices, plan, chance, lambda _pass_ms: True)
        self._sent = (list(prefix), choices)
        nodes = [
            Node(c.token, node - 1, c.q, self.name, c.scores, c.time_ms, c.mass, c.certainty, c.evidence)  # ROOT is -1
            for node, c in enumerate(choices)
        ]
        drawn = None if self.deterministic else chance
        add_siblings(nodes, _branch_points(choices), self._spare, self.name, drawn, self.declared)
        return replace(Draft.tree(round, nodes, sum(c.evidence_ms for c in choices)), ahead=drafted_ahead)

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution of the token after `prefix`, for a mixture; at T=0 the one at T=1.

        None if the prefix cannot be read or does not fit the context.
        """
        ids = self._draft_ids(prefix)
        if not ids or len(ids) > self.window.context.size:
            return None
        own = self.request.sampling
        logits = self._processed(self._logits(self.window.missing(ids)), LogitsProcessor(self.request, prefix), ())
        return None if is_empty(logits) else self._target_q(logits, Sampling(1.0) if own.greedy else own)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        self._ahead, self._guesses = [], True
        self._spare = plan.spare if self.request.drafting.trees else 0
        # The first pass only finds the guess; without a second pass nothing is saved.
        ids = self._draft_ids(prefix) if pays(2 * self._pass_ms) else None
        if not ids or len(ids) > self.window.context.size:
            return False
        logits = self._logits(self.window.missing(ids))
        guess = self._best(self._processed(logits, LogitsProcessor(self.request, prefix), ()))
        return self._draft_ahead([*prefix, guess], round, plan, chance, pays)

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        likeliest, most, reach = None, 0.0, 1.0
        prefix, choices = self._sent
        for place, choice in enumerate(choices):
            second = choice.second
            if second is None:
                return False
            if reach * second.prob > most:
                likeliest = [*prefix, *(c.token for c in choices[:place]), second.token]
                most = reach * second.prob
            reach *= second.first_prob
        return likeliest is not None and self._draft_ahead(likeliest, round, plan, chance, pays)

    def _draft_ahead(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        """Begin the draft of a later round, as if `prefix` were committed then."""
        if prefix[-1] in self.request.limits.end_ids:
            return False
        ahead = _AheadDraft(prefix, round)
        self._extend(ahead.prefix, ahead.choices, plan, chance, pays)
        # Evidence that was computed while the target was busy took no time of the next round.
        ahead.choices = [choice._replace(evidence_ms=0.0) for choice in ahead.choices]
        self._ahead.append(ahead)
        return bool(ahead.choices)

    def outlook(self, prefix: list[int]) -> Outlook:
        ids = self._draft_ids(prefix)
        if not ids or len(ids) > self.window.context.size:
            return Outlook(longest=0)
        missing = len(ids) - self.window.common(ids)
        return Outlook(missing=missing, stops=True, branches=self.request.drafting.trees)

    def close(self) -> None:
        self.window.close()

    def _extend(self, prefix: list[int], choices: list[_Choice], plan: Plan, chance: Chance, pays: Pays) -> None:
        """Append choices after `prefix` up to the plan's depth or an end token, as long as `pays` allows another pass.

        Appends nothing if the draft model cannot read the prefix, and no more than its context holds. The plan's stop
        rule is asked before a pass and before a token is drawn.
        """
        depth, stop = plan.depth, plan.stop
        ids, ends = self._draft_ids(prefix), self.request.limits.end_ids
        if not ids:
            return
        depth = min(depth, self.window.context.size - len(ids) + 1)  # the last token is not fed
        processor = LogitsProcessor(self.request, prefix)
        while len(choices) < depth and not (choices and choices[-1].token in ends) and pays(self._pass_ms):
            self.check_cancelled()
            certainties = [c.certainty or 0.0 for c in choices]
            if stop is not None and choices and not stop.computes_another(certainties):
                break
            # After full acceptance the last drafted token has not been fed yet: it is part of this pass.
            todo = self.window.missing([*ids, *(c.draft_id for c in choices)])
            path = [c.token for c in choices]
            choice = self._next_choice(todo, path, processor, certainties, chance, stop)
            if choice is None:
                break
            choices.append(choice)
            self._pass_ms = choice.time_ms + choice.evidence_ms

    def _next_choice(
        self,
        todo: list[int],
        path: Sequence[int],
        processor: LogitsProcessor,
        certainties: list[float],
        chance: Chance,
        stop: StopRule | None,
    ) -> _Choice | None:
        """The next token after a path of tokens with these certainties; None if it is not drawn."""
        begun_s = self._clock()
        raw = self._logits(todo)
        logits = self._processed(raw, processor, path)
        if is_empty(logits):
            return None
        certainty = None if stop is None else largest_prob(logits, self.request.sampling)
        if stop is not None and certainty is not None and not stop.adds_another(certainties, certainty):
            return None
        choice = self._choose(logits, len(certainties), chance)
        if choice is None:
            return None
        token, q = choice
        draft_id = self._draft_id(token, logits)
        chosen_s = self._clock()
        evidence = self.request.evidence
        shown = self._scores(raw, token) if evidence else None
        mass = self._covered_mass(logits, q) if evidence and q else None
        reach = self._evidence(raw, logits, q) if evidence else None
        evidence_ms = (self._clock() - chosen_s) * 1000
        time_ms = (chosen_s - begun_s) * 1000
        made = _Choice(token, draft_id, q, shown, mass, time_ms, evidence_ms, certainty=certainty, evidence=reach)
        if self._guesses:
            made = made._replace(second=self._second(logits, token))
        return self._with_rest(made, logits) if self._spare else made

    def _with_rest(self, choice: _Choice, logits: Floats) -> _Choice:
        """The choice with the distribution of its siblings."""
        own = choice.q or self._target_q(logits, Sampling(1.0))
        if own is None:
            return choice
        return choice._replace(rest=without(own, choice.token), prob=own.prob(choice.token))

    def _evidence(self, raw: Floats, logits: Floats, q: Support | None) -> DraftEvidence:
        """What the model could have proposed where it took or drew a token. raw float[V]: its logits as computed."""
        own = self._target_q(logits, self.request.sampling) if q is None and not self.request.sampling.greedy else None
        if self._vocabulary is None:
            self._vocabulary = self._expressible(raw)
        whole = len(self._vocabulary) >= len(raw)
        return DraftEvidence(own, None if whole else self._vocabulary)

    def _logits(self, todo: list[int]) -> Floats:
        return self.window.catch_up(todo, self.request.cancelled)[0, : self._rows]

    def _processed(self, logits: Floats, processor: LogitsProcessor, path: Sequence[int]) -> Floats:
        """The logits as q uses them after a path of the target's ids. What raises p or lowers it does so to q."""
        return processor(logits, path)

    def _own_q(self, logits: Floats, sampling: Sampling) -> Support:
        """The draft model's own q, over its own ids."""
        return support(logits, sampling, self.capped(self._support_size))

    def _draw(self, q: Support, node: int, chance: Chance) -> tuple[int, Support]:
        q = self.declared(q)
        return int(q.ids[chance.draw(q.probs, node)]), q

    # The methods below are those that a draft model with another vocabulary overrides. Their ids of tokens and of q are
    # the target's; prefixes are translated into the draft model's ids.

    def _usable_rows(self, draft: Tokenizer, target: Tokenizer) -> int:
        """How many rows of the draft's logits are used."""
        check_vocabulary(draft, target)
        return min(draft.n_vocab, target.n_vocab)

    def _draft_ids(self, prefix: list[int]) -> list[int] | None:
        """The committed ids as the draft model is fed them; None if it cannot read them."""
        known = max(prefix) < self.window.model.tokenizer.n_vocab  # else an id that only the target has
        return prefix if known else None

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        """(token, q it was drawn from); q is None for a chosen token. None if there is no token to propose."""
        if self.deterministic:
            return self._best(logits), None
        return self._draw(self._own_q(logits, self.request.sampling), node, chance)

    def _target_q(self, logits: Floats, sampling: Sampling) -> Support | None:
        """The draft model's q over the target's ids; None if it has no mass there."""
        return self._own_q(logits, sampling)

    def _best(self, logits: Floats) -> int:
        return best_id(logits)

    def _expressible(self, logits: Floats) -> Ints:
        """The target's ids, ascending, that it can propose: a trimmed file gives the others no logit."""
        return np.flatnonzero(logits > -np.inf).astype(np.int32)

    def _draft_id(self, token: int, logits: Floats) -> int:
        """The draft model's id for a chosen token."""
        del logits
        return token

    def _second(self, logits: Floats, token: int) -> _SecondChoice | None:
        """The most probable other token; None if the draft model's ids are not the target's."""
        sampling, best = self.request.sampling, self._best(logits)
        other = next((int(i) for i in top_ids(logits, 2) if i not in (token, best)), best) if token == best else best
        scale = 1.0 if sampling.greedy else 1.0 / sampling.temperature
        largest = largest_prob(logits, sampling)
        prob, first_prob = (largest * math.exp(scale * float(logits[i] - logits[best])) for i in (other, token))
        return _SecondChoice(other, prob, first_prob)

    def _scores(self, logits: Floats, token: int) -> Scores:
        return scores(logits, token, self._alternatives)

    def _covered_mass(self, logits: Floats, q: Support) -> float:
        return covered_mass(logits, q, self.request.sampling)


def _branch_points(choices: Sequence[_Choice]) -> list[BranchPoint]:
    """The positions of a chain, each below the one before."""
    points, reach = list[BranchPoint](), 1.0
    for node, choice in enumerate(choices):
        evidence = None if choice.evidence is None else DraftEvidence(vocabulary=choice.evidence.vocabulary)
        points.append(BranchPoint(node - 1, reach, choice.rest, 1.0 - choice.prob, choice.scores, evidence))
        reach *= choice.prob
    return points


def check_vocabulary(draft: Tokenizer, target: Tokenizer) -> None:
    """Raises VocabularyMismatchError unless both have the same used ids with the same bytes."""
    if draft.fingerprint != target.fingerprint:
        raise VocabularyMismatchError(
            f"The draft's vocabulary ({draft.fingerprint}, {draft.n_vocab} tokens) is not the target's "
            f"({target.fingerprint}, {target.n_vocab} tokens).",
            "Choose two models of one family, or draft with the ngram drafter.",
        )
