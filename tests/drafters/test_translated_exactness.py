"""Drafting across vocabularies is exact: whole runs, seeded runs, and the tokens against the q that is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Drafting, Floats, Sampling, Support
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.tokenizers.vocabularies import Intersection, Translation
from speculatoviz.targets.local import LocalTarget
from support.enumerate import Script
from support.toy_pair import (
    SAMPLINGS,
    goodness_of_fit,
    largest_difference,
    no_clock,
    request,
    run_tokens,
    sequence_probs,
)
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
        token = self.intersection.target_of(int(own.ids[chance.draw(own.probs, node)]))
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
    """Chi-square of outputs of up to three tokens at depth 2; 0 where the target cannot say what came out."""
    target_model, draft_model = two_vocabularies()
    asked = request(sampling, 3, target_model)
    target, drafter = LocalTarget(target_model, 16, no_clock), factory(draft_model, target_model)
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(runs):
        counts[run_tokens(replace(asked, seed=seed), target, drafter, 2, seeded(seed))] += 1
    return goodness_of_fit(counts, sequence_probs(target_model, asked))


@pytest.mark.parametrize("sampling", [Sampling(1.0), SAMPLINGS["all filters"]], ids=["T=1", "all filters"])
def test_seeded_runs_follow_the_target(sampling: Sampling) -> None:
    assert p_value(sampling, translated, 2_500) > SIGNIFICANCE


@pytest.mark.parametrize("broken", TWINS)
def test_broken_translations_are_caught_in_seeded_runs(broken: type[TranslatedDrafter]) -> None:
    assert p_value(Sampling(1.0), twin(broken), 2_500) < SIGNIFICANCE


# The audit.


def fits(drafter: TranslatedDrafter, target: ToyModel, sampling: Sampling, drafting: Drafting | None = None) -> bool:
    """Whether every q that was declared is one, and the tokens drawn under it fit it."""
    drafter.begin(replace(request(sampling, 8, target, ignore_eos=True), drafting=drafting or Drafting()))
    drawn: dict[bytes, Counter[int]] = {}
    declared: dict[bytes, Support] = {}
    for seed in range(2_000):
        draft = drafter.draft([0, 1], 0, Plan(drafter.name, 2), seeded(seed)("draft", 0))
        for token, q in zip(draft.tokens.tolist(), draft.q, strict=True):
            assert q is not None
            assert np.all(np.diff(q.ids) > 0)
            key = q.ids.tobytes() + q.probs.tobytes()
            declared[key] = q
            drawn.setdefault(key, Counter())[token] += 1
    if any(abs(float(q.probs.sum()) - 1) > 1e-9 for q in declared.values()):
        return False
    p_values = [
        float(chisquare([drawn[key][int(i)] for i in q.ids], q.probs * drawn[key].total()).pvalue)
        for key, q in declared.items()
        if len(q.ids) > 1 and q.probs.min() * drawn[key].total() >= 8
    ]
    assert p_values or all(len(q.ids) == 1 for q in declared.values()), "nothing was tested"
    return min(p_values, default=1.0) > SIGNIFICANCE


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
