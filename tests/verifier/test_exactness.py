"""A run with a remote target gives the output of a run in this process, and follows the target's distribution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.core import sampling as sampling_module
from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Penalties, Rule, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.server.verifier import connection, sessions
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.targets.verifier import frames as framing
from speculatoviz.targets.verifier.target import VerifierTarget
from support.toy_pair import SAMPLINGS, fit_of_seeded_runs, no_clock, request, run_tokens
from support.verifier import connected, rounds, serving
from support.verifier_client import bits, here, toys
from support.verifier_twins import (
    ForgettingTarget,
    KeenDrafter,
    LateQuantisingDrafter,
    RepeatingDrafter,
    StubbornDrafter,
    Unhurried,
    sharpened,
)

SIGNIFICANCE = 1e-4  # seeds are fixed: a run that passes once passes always
# Toys make more rounds a second than models.
HURRIED = VerifierOptions(context_tokens=512, limits=ClientLimits(frames_per_s=1e6))


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierTarget]:
    """A toy target, served by a verifier."""
    with serving(toys()[0], HURRIED) as server, connected(server.url, tmp_path_factory.mktemp("cache")) as target:
        yield target


def drafter(kind: type[ModelDrafter] = KeenDrafter) -> ModelDrafter:
    target, draft = toys()
    return kind(draft, target.tokenizer, 512, no_clock)


PENALTIES = Penalties(presence=0.8, frequency=0.4, repetition=1.3, last_n=9, bias=((3, 1.0), (7, -2.0)))
WITH_PENALTIES = SAMPLINGS | {"penalties": Sampling(0.9, penalties=PENALTIES)}


@pytest.mark.parametrize("sampling", WITH_PENALTIES.values(), ids=WITH_PENALTIES.keys())
def test_runs_equal_those_of_a_target_in_this_process(far: VerifierTarget, sampling: Sampling) -> None:
    near, keen = here(toys()[0]), drafter()
    for seed in range(4):
        prompt = (seed, 1)  # a greedy run knows no seed
        expected = bits(rounds(near, drafter(), prompt, sampling, seed, 16))
        assert bits(rounds(far, keen, prompt, sampling, seed, 16, overlap=True)) == expected
        assert bits(rounds(far, keen, prompt, sampling, seed, 16, overlap=False)) == expected


@pytest.mark.parametrize(("rule", "nodes"), [("token", 7), ("match", 7), ("typical", 7), ("block", 0)])
def test_trees_and_rules_work_over_the_network(far: VerifierTarget, rule: Rule, nodes: int) -> None:
    near, branched = here(toys()[0]), False
    for seed in range(4):
        asked = {"seed": seed, "tokens": 16, "rule": rule, "nodes": nodes}
        expected = rounds(near, drafter(), **asked)
        assert bits(rounds(far, drafter(), **asked)) == bits(expected)
        branched |= any(not round.draft.is_chain for round in expected)
        labels = {round.verdict.exactness for round in expected}
        assert labels == {"lossy" if rule == "typical" else "exact"}
    assert branched == (rule != "block")


def test_drafts_made_ahead_are_used(far: VerifierTarget) -> None:
    keen = drafter()
    for seed in range(10):
        rounds(Unhurried(far), keen, seed=seed, tokens=12, depth=1)
    assert keen.kept > 0
    assert keen.kept_other > 0


def test_drafts_without_probabilities_get_the_same_verdicts(far: VerifierTarget) -> None:
    near = here(toys()[0])
    for seed in range(4):
        prompt = (0, 1, 2, 0, 1, 2, 0, 1)
        expected = bits(rounds(near, NgramDrafter(1, 3), prompt, seed=seed))
        assert bits(rounds(far, NgramDrafter(1, 3), prompt, seed=seed)) == expected


def test_a_session_with_another_prompt_reuses_its_cache(far: VerifierTarget) -> None:
    near = here(toys()[0])
    for prompt in [(0, 1), (0, 1, 5, 6), (7,), (0, 1)]:
        expected = bits(rounds(near, drafter(), prompt))
        assert bits(rounds(far, drafter(), prompt)) == expected


def test_streaming_is_plain_decoding(far: VerifierTarget) -> None:
    asked = request(Sampling(1.0), 24, toys()[0], ignore_eos=True)
    plain = run_tokens(asked, here(toys()[0]), drafter(), 0, seeded(0))
    assert tuple(far.stream(asked)) == plain


def test_it_offers_itself_as_a_remote_target_and_no_window(far: VerifierTarget) -> None:
    assert far.remote is far
    assert far.window is None


# ---- broken twins of the comparison ----


def differs(far: VerifierTarget, kind: type[ModelDrafter]) -> bool:
    return any(
        bits(rounds(Unhurried(far), drafter(kind), seed=seed))
        != bits(rounds(far, drafter(kind), seed=seed, overlap=False))
        for seed in range(4)
    )


def test_overlap_that_changes_the_text_is_caught(far: VerifierTarget) -> None:
    assert not differs(far, KeenDrafter)
    assert differs(far, StubbornDrafter)
    assert differs(far, RepeatingDrafter)


def test_a_verifier_with_other_random_numbers_is_caught(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(sessions, "LocalTarget", ForgettingTarget)
    near = here(toys()[0])
    with serving(toys()[0], HURRIED) as server, connected(server.url, folder) as target:
        assert bits(rounds(target, drafter(), seed=1)) != bits(rounds(near, drafter(), seed=1))


def test_penalties_that_are_lost_on_the_way_are_caught(far: VerifierTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    near, sampling = here(toys()[0]), WITH_PENALTIES["penalties"]
    expected = bits(rounds(near, drafter(), sampling=sampling))
    monkeypatch.setattr(framing, "_wire_penalties", lambda penalties: None)
    assert bits(rounds(far, drafter(), sampling=sampling)) != expected


# ---- the target's distribution ----


def p_value(
    folder: Path,
    runs: int,
    kind: type[ModelDrafter] = ModelDrafter,
    sampling: Sampling | None = None,
    tokens: int = 3,
    depth: int = 2,
    mix: float = 0.5,
) -> float:
    """The p-value of outputs of `tokens` tokens."""
    target_model, draft_model = ToyModel(1, ALPHABET[:3]), ToyModel(1, ALPHABET[:3], mix=(2, mix))
    asked = request(sampling or Sampling(1.0), tokens, target_model, ignore_eos=True)
    drafter = kind(draft_model, target_model.tokenizer, 64, no_clock)
    with serving(target_model, HURRIED) as server, connected(server.url, folder) as target:
        return fit_of_seeded_runs(asked, target_model, Unhurried(target), drafter, depth, runs)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """q quantised to halves, so that an error of quantising shows in few runs."""
    for module in (sampling_module, framing):
        monkeypatch.setattr(module, "QUANTA", 2)


@pytest.mark.parametrize("sampling", [Sampling(1.0), SAMPLINGS["all filters"]], ids=str)
def test_runs_follow_the_target(folder: Path, sampling: Sampling) -> None:
    assert p_value(folder, 600, sampling=sampling) > SIGNIFICANCE


@pytest.mark.full
@pytest.mark.parametrize("sampling", [sampling for sampling in SAMPLINGS.values() if not sampling.greedy], ids=str)
def test_many_runs_follow_the_target(folder: Path, sampling: Sampling) -> None:
    assert p_value(folder, 4_000, KeenDrafter, sampling) > SIGNIFICANCE


@pytest.mark.usefixtures("coarse")
def test_runs_follow_the_target_however_coarse_q_is(folder: Path) -> None:
    assert p_value(folder, 600, tokens=2, depth=1) > SIGNIFICANCE


@pytest.mark.usefixtures("coarse")
def test_quantising_after_drawing_is_caught(folder: Path) -> None:
    assert p_value(folder, 600, LateQuantisingDrafter, tokens=2, depth=1) < SIGNIFICANCE


def test_a_verifier_that_uses_another_q_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "draft_of", sharpened)
    assert p_value(folder, 400) < SIGNIFICANCE


def test_random_numbers_used_twice_are_caught(folder: Path) -> None:
    assert p_value(folder, 400, KeenDrafter, tokens=5, mix=0.1) > SIGNIFICANCE
    assert p_value(folder, 800, RepeatingDrafter, tokens=5, mix=0.1) < SIGNIFICANCE
