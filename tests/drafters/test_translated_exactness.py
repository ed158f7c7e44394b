"""Drafting across vocabularies is exact: whole runs, seeded runs, and the tokens against the q that is declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Drafting, Floats, Sampling, Support
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.tokenizers.vocabularies import Intersection, Translation
from speculatoviz.targets.local import LocalTarget
from support.audit import audit
from support.enumerate import Script
from support.toy_pair import (
    SAMPLINGS,
    fit_of_seeded_runs,
    largest_difference,
    no_clock,
    request,
    run_tokens,
    sequence_probs,
)
from support.trimmed_toy import TrimmedToy
from support.two_vocabularies import ACCENTS, LETTERS, Pieces, translated, two_vocabularies

EXACT = 1e-12
BROKEN = 1e-3
SIGNIFICANCE = 1e-4  # seeds are fixed: a run that passes once passes always
SAMPLED = {name: sampling for name, sampling in SAMPLINGS.items() if not sampling.greedy}
PAIRS = {"letters": LETTERS, "accents": ACCENTS}

Factory = Callable[[ToyModel, ToyModel], TranslatedDrafter]


class NotRenormalised(TranslatedDrafter):
    """Declares what is left of q after the restriction, as it is."""

    def _usable_rows(self, draft: Tokenizer, target: Tokenizer) -> int:
        class Broken(Intersection):
            def translate(self, q: Support) -> Translation | None:
                found = super().translate(q)
                return found and found._replace(q=Support(found.q.ids, found.q.probs * found.kept))

        rows = super()._usable_rows(draft, target)
        self.intersection = Broken(draft, target)
        return rows


class EqualBytesLost(TranslatedDrafter):
    """Draws from the mass of all ids with equal bytes, and declares that of the likeliest."""

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        choice = super()._choose(logits, node, chance)
        if choice is None or choice[1] is None:
            return choice
        own, ids = self._own_q(logits, self.request.sampling), choice[1].ids
        alone = np.array([own.prob(self._draft_id(int(token), logits)) for token in ids])
        return choice[0], Support(ids, alone / alone.sum())


class DrawnFromItsOwn(TranslatedDrafter):
    """Draws from the draft's own q, takes its best where that cannot be said, and declares the translated one."""

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        own = self._own_q(logits, self.request.sampling)
        found = self.intersection.translate(own)
        if found is None or self.deterministic:
            return super()._choose(logits, node, chance)
        token = self.intersection.target_id(int(own.ids[chance.draw(own.probs, node)]))
        if token is None or found.q.prob(token) == 0.0:
            token = int(found.q.ids[found.q.probs.argmax()])
        return token, found.q


TWINS = [NotRenormalised, EqualBytesLost, DrawnFromItsOwn]


def twin(broken: type[TranslatedDrafter]) -> Factory:
    return lambda draft, target: broken(draft, target.tokenizer, 64, no_clock)


# The proof: every outcome of whole runs.


def whole_runs(pieces: Pieces, sampling: Sampling, depth: int, factory: Factory, tokens: int = 3) -> float:
    """The largest difference of a probability between all runs of the real engine and the target by itself."""
    target_model, draft_model = two_vocabularies(pieces)
    script = Script()
    asked = request(sampling, tokens, target_model)
    drafter = factory(draft_model, target_model)

    def one_run() -> tuple[int, ...]:
        target = LocalTarget(target_model, 16, no_clock, lambda seed: script.source())
        return run_tokens(asked, target, drafter, depth, script.source())

    found: dict[tuple[int, ...], float] = {}
    for prob, output in script.outcomes(one_run):
        found[output] = found.get(output, 0.0) + prob
    return largest_difference(found, sequence_probs(target_model, asked))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["greedy", "T=1", "all filters"])
@pytest.mark.parametrize("lacks", [[1], [2, 3], [1, 2, 3, 4]], ids=["a letter", "both of equal bytes", "all but bb"])
def test_a_draft_that_lacks_tokens_keeps_it_too(lacks: list[int], name: str) -> None:
    """Also where nothing that it has is a token of the target."""

    def factory(draft: ToyModel, target: ToyModel) -> TranslatedDrafter:
        return translated(TrimmedToy(draft, lacks), target)

    assert whole_runs(LETTERS, SAMPLINGS[name], 2, factory) < EXACT


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("pieces", PAIRS.values(), ids=PAIRS.keys())
def test_whole_runs_keep_the_targets_distribution(pieces: Pieces, sampling: Sampling) -> None:
    assert whole_runs(pieces, sampling, 2, translated) < EXACT


@pytest.mark.parametrize("support_size", [1, 2])
def test_a_support_that_is_cut_short_keeps_it_too(support_size: int) -> None:
    assert whole_runs(LETTERS, Sampling(1.0), 2, lambda draft, target: translated(draft, target, support_size)) < EXACT


@pytest.mark.parametrize("pieces", PAIRS.values(), ids=PAIRS.keys())
def test_longer_runs_keep_the_targets_distribution(pieces: Pieces) -> None:
    assert whole_runs(pieces, Sampling(1.0), 2, translated, tokens=4) < EXACT


@pytest.mark.full
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("pieces", PAIRS.values(), ids=PAIRS.keys())
def test_deeper_runs_keep_the_targets_distribution(pieces: Pieces, sampling: Sampling) -> None:
    assert whole_runs(pieces, sampling, 3, translated, tokens=4) < EXACT


@pytest.mark.parametrize("broken", TWINS)
def test_broken_translations_are_caught(broken: type[TranslatedDrafter]) -> None:
    assert whole_runs(LETTERS, Sampling(1.0), 2, twin(broken)) > BROKEN


# Seeded runs.


def p_value(sampling: Sampling, factory: Factory, runs: int) -> float:
    """The p-value of outputs of up to three tokens at depth 2."""
    target_model, draft_model = two_vocabularies()
    asked = request(sampling, 3, target_model)
    target, drafter = LocalTarget(target_model, 16, no_clock), factory(draft_model, target_model)
    return fit_of_seeded_runs(asked, target_model, target, drafter, 2, runs)


@pytest.mark.parametrize("sampling", [Sampling(1.0), SAMPLINGS["all filters"]], ids=["T=1", "all filters"])
def test_seeded_runs_follow_the_target(sampling: Sampling) -> None:
    assert p_value(sampling, translated, 2_500) > SIGNIFICANCE


@pytest.mark.parametrize("broken", TWINS)
def test_broken_translations_are_caught_in_seeded_runs(broken: type[TranslatedDrafter]) -> None:
    assert p_value(Sampling(1.0), twin(broken), 2_500) < SIGNIFICANCE


# The audit.


def fits(drafter: TranslatedDrafter, target: ToyModel, sampling: Sampling, drafting: Drafting | None = None) -> bool:
    """Whether the tokens drawn after the prompt fit the q declared for them."""
    asked = replace(request(sampling, 8, target, ignore_eos=True), drafting=drafting or Drafting())
    return audit(drafter, asked, Plan(drafter.name, 2), 2_000).p_value > SIGNIFICANCE


@pytest.mark.parametrize("sampling", SAMPLED.values(), ids=SAMPLED.keys())
def test_drawn_tokens_fit_the_declared_q(sampling: Sampling) -> None:
    target, draft = two_vocabularies()
    assert fits(translated(draft, target), target, sampling)


@pytest.mark.parametrize("drafting", [Drafting(quantised=True), Drafting(support_size=3)])
def test_drawn_tokens_fit_the_q_that_a_target_wants(drafting: Drafting) -> None:
    target, draft = two_vocabularies()
    assert fits(translated(draft, target), target, Sampling(1.0), drafting)


@pytest.mark.parametrize("broken", TWINS)
def test_broken_translations_are_caught_by_the_audit(broken: type[TranslatedDrafter]) -> None:
    target, draft = two_vocabularies()
    assert not fits(twin(broken)(draft, target), target, Sampling(1.0))
