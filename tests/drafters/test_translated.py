"""What a draft model with another vocabulary proposes, and what it reports of it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import support
from speculatoviz.core.types import Draft, Limits, Request, Sampling
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.errors import CancelledError, VocabularyMismatchError
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.targets.local import LocalTarget
from support.departures import departure, emitted, greedy_rounds
from support.toy_pair import no_clock
from support.two_vocabularies import ACCENTS, speaking, translated, two_vocabularies


def drafted(drafter: TranslatedDrafter, prefix: list[int], sampling: Sampling, depth: int = 3) -> Draft:
    drafter.begin(Request(tuple(prefix), sampling, Limits(8)))
    return again(drafter, prefix, depth)


def again(drafter: TranslatedDrafter, prefix: list[int], depth: int) -> Draft:
    """One more draft of the same run."""
    return drafter.draft(prefix, 0, Plan(drafter.name, depth), seeded(5)("draft", 0))


def test_at_zero_temperature_the_best_that_can_be_said_is_chosen() -> None:
    target, draft = two_vocabularies()
    found = drafted(translated(draft, target), [2, 1], Sampling(), 4)
    own = draft.tokenizer.encode("abb", special=False)
    expected = []
    for _ in range(4):
        best = max([1, 2, 3, 4], key=lambda token: draft.logits(own)[token])
        own.append(best)
        expected.append({1: 1, 2: 0, 3: 0, 4: 3}[best])
    assert found.tokens.tolist() == expected
    assert found.q == (None,) * 4


def test_q_is_the_drafts_own_by_the_targets_ids() -> None:
    target, draft = two_vocabularies()
    found = drafted(translated(draft, target), [2, 1], Sampling(0.7), 1)
    own = support(draft.logits(draft.tokenizer.encode("abb", special=False)), Sampling(0.7), 64).probs
    assert found.q[0] is not None
    assert found.q[0].ids.tolist() == [0, 1, 3]
    assert found.q[0].probs == pytest.approx(np.array([own[2] + own[3], own[1], own[4]]) / (1 - own[0]))


def test_the_likeliest_of_equal_ids_is_fed() -> None:
    target, draft = two_vocabularies()
    drafter = translated(draft, target)
    for seed in range(20):
        drafter.begin(Request((0,), Sampling(1.0), Limits(8)))
        found = drafter.draft([0], 0, Plan("model", 2), seeded(seed)("draft", 0))
        if int(found.tokens[0]) == 0:
            logits = draft.logits([2])
            assert drafter.window.ids == [2, 2 if logits[2] >= logits[3] else 3]
            return
    raise AssertionError("no such token was drawn")


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0)], ids=["T=0", "T=1"])
def test_the_cache_changes_no_token(sampling: Sampling) -> None:
    target, draft = two_vocabularies(ACCENTS)
    drafter, prefix = translated(draft, target), [2]
    drafter.begin(Request((2,), sampling, Limits(8)))
    for round, token in enumerate([0, 1, 0, 1, 2, 2, 0, 1]):
        chance = seeded(round)("draft", round)
        found = drafter.draft(prefix, round, Plan("model", 3), chance)
        fresh = translated(draft, target)
        fresh.begin(Request((2,), sampling, Limits(8)))
        assert found.tokens.tolist() == fresh.draft(prefix, round, Plan("model", 3), chance).tokens.tolist()
        prefix = [*prefix, token]


def test_drafting_ahead_changes_no_token() -> None:
    target, draft = two_vocabularies()
    for seed in range(20):
        chance, plan = seeded(seed)("draft", 1), Plan("model", 3)
        drafter, fresh = translated(draft, target), translated(draft, target)
        drafter.begin(Request((0,), Sampling(1.0), Limits(8)))
        fresh.begin(Request((0,), Sampling(1.0), Limits(8)))
        drafter.prepare([0, 1], 1, plan, chance, lambda _pass_ms: True)
        assert drafter._ahead is not None, "nothing was drafted ahead"
        for prefix in ([0, 1, 0], [0, 1, 1], [0, 1, 2]):
            assert (
                drafter.draft(prefix, 1, plan, chance).tokens.tolist()
                == fresh.draft(prefix, 1, plan, chance).tokens.tolist()
            )
            drafter.prepare([0, 1], 1, plan, chance, lambda _pass_ms: True)


def test_inside_a_character_nothing_is_drafted() -> None:
    target, draft = two_vocabularies(ACCENTS)
    drafter = translated(draft, target)
    assert len(drafted(drafter, [2, 0], Sampling(1.0))) == 0
    assert len(drafted(drafter, [2, 0, 1], Sampling(1.0))) == 3
    drafter.prepare([2, 0], 0, Plan("model", 3), seeded(0)("draft", 0), lambda _pass_ms: True)
    assert drafter._ahead == []


def test_behind_letters_that_the_draft_lacks_nothing_is_drafted() -> None:
    target, draft = speaking([b"a", b"b", b"c"], 1), speaking([b"b", b"a"], 2)
    assert len(drafted(translated(draft, target), [0, 2], Sampling(1.0))) == 0
    assert len(drafted(translated(draft, target), [0, 1], Sampling(1.0))) == 3


def test_a_draft_ends_at_an_end_token() -> None:
    target, draft = speaking([b"a", b"b"], 1), speaking([b"c", b"b", b"a"], 2)
    end = next(iter(target.tokenizer.eos_ids))
    lengths = Counter[int]()
    for seed in range(50):
        drafter = translated(draft, target)
        drafter.begin(Request((0,), Sampling(1.0), Limits(8, stop_ids=target.tokenizer.eos_ids)))
        tokens = drafter.draft([0], 0, Plan("model", 4), seeded(seed)("draft", 0)).tokens.tolist()
        assert end not in tokens[:-1]
        assert len(tokens) == 4 or tokens[-1] == end
        lengths[len(tokens)] += 1
    assert len(lengths) > 1


def test_no_more_is_drafted_than_the_drafts_context_holds() -> None:
    target, draft = two_vocabularies()
    drafter = TranslatedDrafter(draft, target.tokenizer, 4, no_clock)
    lengths = [len(drafted(drafter, [2] * n, Sampling(1.0), 6)) for n in range(1, 4)]
    assert lengths == [3, 1, 0]  # "ab" is two tokens to the draft, and what is drafted last is not fed


def test_what_cannot_be_said_ends_a_draft() -> None:
    target, draft = two_vocabularies()
    drafter = translated(draft, target, support_size=1)
    lengths = {len(drafted(drafter, list(prefix), Sampling(1.0))) for prefix in ([0], [1], [0, 0], [0, 1], [1, 1], [2])}
    assert 0 in lengths
    assert max(lengths) > 0


def test_the_kept_share_is_the_mean_over_the_places() -> None:
    target, draft = two_vocabularies()
    drafter = translated(draft, target)
    assert drafter.kept_mass is None
    drafted(drafter, [0], Sampling(1.0), 1)
    first = 1 - float(support(draft.logits([2]), Sampling(1.0), 64).probs[0])
    assert drafter.kept_mass == pytest.approx(first)
    shown = again(drafter, [1], 1).kept_mass
    second = 1 - float(support(draft.logits([1]), Sampling(1.0), 64).probs[0])
    assert drafter.kept_mass == shown == pytest.approx((first + second) / 2)
    drafter.begin(Request((1,), Sampling(1.0), Limits(8)))
    assert drafter.kept_mass is None


def test_at_zero_temperature_it_counts_the_choices_that_were_kept() -> None:
    target, draft = two_vocabularies()
    drafter, kept = translated(draft, target), []
    for prefix, own in (([0], [2]), ([1], [1]), ([0, 0], [2, 2]), ([2], [2, 1]), ([1, 1], [0])):
        drafted(drafter, prefix, Sampling(), 1) if not kept else again(drafter, prefix, 1)
        kept.append(float(draft.logits(own).argmax() != 0))
    assert 0 < sum(kept) < len(kept)
    assert drafter.kept_mass == pytest.approx(sum(kept) / len(kept))


@pytest.mark.parametrize("support_size", [64, 3])
def test_evidence_is_of_the_drafts_own_distribution(support_size: int) -> None:
    target, draft = two_vocabularies()
    drafter = translated(draft, target, support_size)
    found = drafted(drafter, [0], Sampling(0.7), 1)
    raw = np.exp(draft.logits([2]))
    raw /= raw.sum()
    by_target = {0: raw[2] + raw[3], 1: raw[1], 3: raw[4]}
    shown, token = found.scores[0], int(found.tokens[0])
    assert shown is not None
    assert math.exp(shown.logprob) == pytest.approx(by_target[token])
    assert {i: math.exp(logprob) for i, logprob in shown.top} == pytest.approx(by_target)
    cooled = raw ** (1 / 0.7) / (raw ** (1 / 0.7)).sum()
    q = found.q[0]
    assert q is not None
    sources = [i for i, t in ((1, 1), (2, 0), (3, 0), (4, 3)) if q.prob(t) > 0]
    assert found.covered_mass[0] == pytest.approx(cooled[sources].sum())


def test_a_cancelled_run_stops_drafting() -> None:
    target, draft = two_vocabularies()
    drafter = translated(draft, target)
    drafter.begin(Request((0,), Sampling(), Limits(8), cancelled=lambda: True))
    with pytest.raises(CancelledError):
        drafter.draft([0], 0, Plan("model", 3), seeded(0)("draft", 0))


def test_vocabularies_without_a_common_token_are_refused() -> None:
    with pytest.raises(VocabularyMismatchError, match="no token in common"):
        translated(speaking([b"a"], 1), speaking([b"b"], 2))


@pytest.mark.full
@pytest.mark.smol
@pytest.mark.qwen
def test_smol_drafts_for_qwen(smol_path: Path, qwen_paths: tuple[Path, Path]) -> None:
    """The text is the plain one, up to near ties that the kernels reproduce, and some of it was drafted."""
    model, draft = LlamaCppModel(qwen_paths[0], cells=512), LlamaCppModel(smol_path, cells=512)
    target, drafter = LocalTarget(model, 512, no_clock), TranslatedDrafter(draft, model.tokenizer, 512, no_clock)
    chat = model.tokenizer.render_chat([{"role": "user", "content": "Write a Python function that adds two numbers."}])
    ids = model.tokenizer.encode(chat, special=True)
    plain = emitted(greedy_rounds(target, None, ids, 0, 24))
    rounds = greedy_rounds(target, drafter, ids, 3, 24)
    found = departure(target.window, ids, plain, rounds)
    accepted, drafts = sum(round.accepted for round in rounds), sum(round.drafted for round in rounds)
    print(f"\n{accepted} of {drafts} accepted, kept share {drafter.kept_mass}, departure: {found}")
    draft.close()
    model.close()
    assert found is None or found.reproduced
    assert accepted >= 1
    assert drafter.kept_mass is not None


def test_evidence_states_the_targets_ids_that_can_be_proposed() -> None:
    target, draft = two_vocabularies()
    found = drafted(translated(draft, target), [2, 1], Sampling(1.0), 2)

    pieces = {draft.tokenizer.token_bytes(token) for token in range(draft.tokenizer.n_vocab)} - {b""}
    sayable = [token for token in range(target.tokenizer.n_vocab) if target.tokenizer.token_bytes(token) in pieces]
    ends = sorted(target.tokenizer.eos_ids)
    for one in found.evidence:
        assert one is not None
        assert one.vocabulary is not None
        assert one.vocabulary.tolist() == sorted({*sayable, *ends})
