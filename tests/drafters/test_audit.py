"""Every sampled drafter is audited: the tokens it draws must fit the q it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, get_args

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Drafting, Request, Sampling
from speculatoviz.drafters import multi
from speculatoviz.drafters.about import DrafterName
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.dflash import DflashDrafter
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.drafters.eagle3 import Eagle3Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.medusa import MedusaDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.mtp import MtpDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.p_eagle import PEagleDrafter
from speculatoviz.drafters.selfspec import SelfDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from support import tiny_dflash, tiny_eagle3, tiny_p_eagle, twins
from support.audit import Finding
from support.audit import audit as audited
from support.tiny_eagle3 import VOCABULARY, HashedInputs
from support.tiny_heads import HashedStates, eagle_head, medusa_heads
from support.toy_pair import SAMPLINGS, model_drafter, no_clock, pair, request
from support.trimmed_toy import TrimmedToy
from support.two_vocabularies import translated, two_vocabularies

SIGNIFICANCE = 1e-4
RUNS = 1_000
SAMPLED = {name: sampling for name, sampling in SAMPLINGS.items() if not sampling.greedy}
TARGET, DRAFT = pair()
PROMPT = (0, 1, 2, 0, 1)
EARLIER = np.random.default_rng(3).integers(0, 4, (20, 12)).tolist()  # of four letters, without an end


def audit(drafter: Drafter, sampling: Sampling, depth: int = 3) -> float:
    """The p-value of chains after two letters, which continue after an end token."""
    return audited(drafter, request(sampling, 8, TARGET, ignore_eos=True), Plan(drafter.name, depth), RUNS).p_value


# --- who is audited ----------------------------------------------------------------------------------


def model() -> Drafter:
    return model_drafter(DRAFT, TARGET)


def suffix() -> SuffixDrafter:
    return SuffixDrafter(no_clock, longest=3, corpus=EARLIER, least=0.01)


def hybrid(enough: float) -> Drafter:
    return HybridDrafter([suffix()], model(), enough)


def other_words() -> Drafter:
    target, draft = two_vocabularies()
    return translated(draft, target)


MAKERS: dict[str, Callable[[], Drafter]] = {
    "model": model,
    "model of other words": other_words,
    "model of fewer tokens": lambda: model_drafter(TrimmedToy(DRAFT, [1]), TARGET),
    "selfspec": lambda: SelfDrafter(DRAFT, TARGET.tokenizer, 64, no_clock),
    "suffix": suffix,
    "mixture": lambda: MixtureDrafter([(0.6, model()), (0.4, suffix())], no_clock),
    "multi, suffix and model": lambda: MultiDrafter([suffix(), model()]),
    "multi, two models": lambda: MultiDrafter([model(), model_drafter(ToyModel(9), TARGET)]),
    "hybrid, a match": lambda: hybrid(0.0),
    "hybrid, the fallback": lambda: hybrid(9.0),
    "eagle": lambda: EagleDrafter(eagle_head(), HashedStates(PROMPT[:-1]), no_clock),
    "eagle3": lambda: Eagle3Drafter(
        tiny_eagle3.loaded(), HashedInputs(PROMPT[:-1]), VOCABULARY.astype(np.int32), 64, no_clock
    ),
    "p-eagle": lambda: PEagleDrafter(
        tiny_p_eagle.loaded()[0],
        HashedInputs(PROMPT[:-1]),
        VOCABULARY.astype(np.int32),
        tiny_p_eagle.masks(),
        256,
        no_clock,
    ),
    "dflash": lambda: DflashDrafter(
        tiny_dflash.loaded(), HashedInputs(PROMPT[:-1], tiny_dflash.TARGET), VOCABULARY.astype(np.int32), 64, no_clock
    ),
    "mtp": lambda: MtpDrafter(
        tiny_eagle3.loaded(), HashedInputs(PROMPT[:-1]), VOCABULARY.astype(np.int32), 64, no_clock
    ),
    "medusa": lambda: MedusaDrafter(medusa_heads(), HashedStates(PROMPT[:-1]), no_clock),
}
CHOOSING = {"ngram": NgramDrafter, "lookahead": lambda: LookaheadDrafter(2, 3, 2, from_text=True)}
ONE_BRANCH = {"mixture"}


class Way(NamedTuple):
    """How a target wants its drafts made, and how many nodes; 0 for a chain."""

    drafting: Drafting
    sampling: Sampling
    nodes: int = 0


WAYS = {
    "chain": Way(Drafting(), Sampling(1.0)),
    "tree": Way(Drafting(trees=True), Sampling(1.0), 6),
    "filtered": Way(Drafting(trees=True), SAMPLINGS["all filters"], 6),
    "for a wire": Way(Drafting(trees=True, quantised=True, support_size=3), Sampling(0.7), 6),
}


def asked(drafter: Drafter, way: Way) -> Request:
    """What is asked of it; the tiny heads are too sure of themselves to be audited at less than some warmth."""
    warmth = 3.0 if drafter.needs else 1.0
    sampling = replace(way.sampling, temperature=way.sampling.temperature * warmth)
    return replace(request(sampling, 8, TARGET), prompt=PROMPT, drafting=way.drafting)


def finding(drafter: Drafter, way: str, runs: int) -> Finding:
    return audited(drafter, asked(drafter, WAYS[way]), Plan(drafter.name, 2, WAYS[way].nodes), runs)


def drafts(drafter: Drafter, way: str, count: int = 20) -> list[Draft]:
    drafter.begin(asked(drafter, WAYS[way]))
    plan = Plan(drafter.name, 2, WAYS[way].nodes)
    return [drafter.draft(list(PROMPT), 0, plan, seeded(seed)("draft", 0)) for seed in range(count)]


# --- what is honest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLED.values(), ids=SAMPLED.keys())
@pytest.mark.parametrize("support_size", [64, 3])
def test_drawn_tokens_fit_the_declared_q(sampling: Sampling, support_size: int) -> None:
    assert audit(model_drafter(DRAFT, TARGET, support_size), sampling) > SIGNIFICANCE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_every_drafter_draws_from_what_it_declares(name: str, way: str) -> None:
    found = finding(MAKERS[name](), way, 600)
    assert found.p_value > SIGNIFICANCE
    assert found.tested
    assert found.later or way != "tree" or name in ONE_BRANCH


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_every_drafter_draws_from_what_it_declares_many_times(name: str, way: str) -> None:
    assert finding(MAKERS[name](), way, 10_000).p_value > SIGNIFICANCE


def test_no_drafter_is_left_out() -> None:
    names = {make().name for make in MAKERS.values()}
    assert names | set(CHOOSING) == set(get_args(DrafterName))


def test_members_draft_where_they_are_meant_to() -> None:
    for name, who in [("hybrid, a match", {"suffix"}), ("hybrid, the fallback", {"model"})]:
        assert {source for draft in drafts(MAKERS[name](), "tree") for source in draft.source} == who
    both = {source for draft in drafts(MAKERS["multi, suffix and model"](), "tree") for source in draft.source}
    assert both == {"suffix", "model"}
    blended = {source for draft in drafts(MAKERS["mixture"](), "chain") for source in draft.source}
    assert "model+suffix" in blended


@pytest.mark.parametrize("name", CHOOSING)
def test_what_is_not_drawn_is_chosen(name: str) -> None:
    drafter = CHOOSING[name]()
    said = drafts(drafter, "tree")
    assert all(len(draft) and set(draft.q) == {None} for draft in said)
    assert len({tuple(draft.tokens.tolist()) for draft in said}) == 1


def test_greedy_drafts_are_chosen_not_drawn() -> None:
    for name, make in MAKERS.items():
        drafter = make()
        drafter.begin(replace(asked(drafter, WAYS["tree"]), sampling=Sampling(0.0)))
        said = [drafter.draft(list(PROMPT), 0, Plan(name, 2, 6), seeded(seed)("draft", 0)) for seed in range(5)]
        assert len({tuple(draft.tokens.tolist()) for draft in said}) == 1
        assert all(len(draft) and set(draft.q) == {None} for draft in said)


# --- what has to be caught ---------------------------------------------------------------------------


@pytest.mark.parametrize("twin", [twins.Sharpening, twins.Redrawing, twins.Pruning])
@pytest.mark.parametrize("name", MAKERS)
def test_drafters_that_draw_otherwise_are_caught(name: str, twin: type[twins.Breaking]) -> None:
    assert finding(twin(MAKERS[name]()), "tree", 500).p_value < SIGNIFICANCE


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ONE_BRANCH])
def test_siblings_that_declare_what_was_there_before_are_caught(name: str) -> None:
    assert finding(twins.ScoredBeforeRemoval(MAKERS[name]()), "tree", 500).p_value < SIGNIFICANCE


@pytest.mark.parametrize("name", ["multi, suffix and model", "multi, two models"])
def test_dropped_duplicates_are_caught(name: str) -> None:
    assert finding(twins.DroppingDuplicates(MAKERS[name]()), "tree", 500).p_value < SIGNIFICANCE


def test_branches_that_share_their_choices_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi, "MemberChance", twins.shared_chance)
    assert finding(MAKERS["multi, two models"](), "tree", 500).p_value < SIGNIFICANCE


def test_a_drafter_that_draws_from_another_q_is_caught() -> None:
    assert audit(twins.Sharpening(model()), Sampling(1.0)) < SIGNIFICANCE
