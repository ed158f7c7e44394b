"""Recurrent layers on transformers and MLX-LM: tiny random folders, whose states are copied to be restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import decode
from speculatoviz.errors import ModelError
from speculatoviz.models.base import LanguageModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support import conformance
from support.conformance import CHECKS, Check
from support.conformance_trees import NEEDS_TREES
from support.recurrent_rounds import play_rounds
from support.runtimes import CAN_CONVERT, RUNTIMES, Weights
from support.tiny_folders import RECURRENT, of_mlx, of_transformers, save

pytestmark = [pytest.mark.smol, pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra hf")]
needs_mlx = pytest.mark.skipif(not RUNTIMES["mlx"].installed, reason="needs the extra mlx")

NOISE = 1e-4
MOST_GROWTH_BYTES = 24 << 20
CASES = [
    *[pytest.param((of_transformers, kind), id=f"transformers-{kind}") for kind in RECURRENT if kind != "Mamba"],
    *[pytest.param((of_mlx, kind), id=f"mlx-{kind}", marks=needs_mlx) for kind in ("Mamba2", "Lfm2")],
]
Case = tuple[Callable[[Path], Any], str]
CONTEXTS = {of_transformers: ("transformers_contexts", "RecurrentContext"), of_mlx: ("mlx_contexts", "CopiedContext")}
SLOW_ON_MLX = (conformance.closing_gives_the_memory_back,)


@pytest.fixture(scope="module", params=CASES)
def loaded(
    request: pytest.FixtureRequest, weights: Weights, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LanguageModel]:
    load, kind = request.param
    model = load(save(kind, tmp_path_factory.mktemp(kind), weights, **RECURRENT[kind]))
    yield model
    model.close()


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NEEDS_TREES], ids=lambda check: check.__name__)
def test_a_recurrent_model_keeps_the_promises_of_a_runtime(loaded: LanguageModel, check: Check) -> None:
    assert "trees" not in loaded.provides
    if check in SLOW_ON_MLX and loaded.description.runtime == "MLX":
        pytest.skip("its reference kernels take minutes")
    check(loaded, NOISE)


@pytest.mark.parametrize("as_draft", [False, True], ids=["target", "draft"])
def test_random_rounds_give_the_rows_of_a_fresh_context(loaded: LanguageModel, as_draft: bool) -> None:
    assert play_rounds(loaded, 30, NOISE, as_draft=as_draft) == 3


@pytest.mark.full
@pytest.mark.parametrize("as_draft", [False, True], ids=["target", "draft"])
def test_a_thousand_random_rounds_leave_nothing_behind(loaded: LanguageModel, as_draft: bool) -> None:
    play_rounds(loaded, 100, NOISE, as_draft=as_draft)
    before = psutil.Process().memory_info().rss
    play_rounds(loaded, 1_000, NOISE, seed=1, as_draft=as_draft)
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH_BYTES


def text_of(target: LocalTarget, draft: LanguageModel, depth: int) -> list[int]:
    request = Request(tuple(range(40, 75)), Sampling(), Limits(40, ignore_eos=True), evidence=False)
    drafter = ModelDrafter(draft, draft.tokenizer, 128, lambda: 0.0)
    try:
        rounds = decode(request, target, {"model": drafter}, FixedPolicy("model", depth), seeded(0), lambda: 0.0)
    finally:
        drafter.close()
    return [token for round in rounds for token in round.emitted]


@pytest.mark.parametrize("case", CASES)
def test_greedy_speculation_gives_the_plain_text(
    case: Case, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a draft model of the same kind and other weights; a runtime that forgets to restore the state is caught."""
    load, kind = case
    model, draft = (
        load(save(kind, tmp_path / str(seed), weights, seed=seed, initializer_range=0.5, **RECURRENT[kind]))
        for seed in (0, 1)
    )
    target = LocalTarget(model, 128, lambda: 0.0)
    plain = text_of(target, draft, 0)
    assert len(set(plain)) > 5, "a text that repeats one token would hide a lost state"
    assert text_of(target, draft, 4) == plain
    module, name = CONTEXTS[load]
    context = getattr(import_module(f"speculatoviz.models.runtimes.{module}"), name)
    monkeypatch.setattr(context, "load", lambda *_: None)
    assert text_of(target, draft, 4) != plain


@pytest.mark.parametrize("case", CASES)
def test_a_library_that_does_not_restore_the_state_is_refused(
    case: Case, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, kind = case
    module, name = CONTEXTS[load]
    context = getattr(import_module(f"speculatoviz.models.runtimes.{module}"), name)
    monkeypatch.setattr(context, "load", lambda *_: None)
    with pytest.raises(ModelError, match="cannot rewind") as refusal:
        load(save(kind, tmp_path, weights, **RECURRENT[kind]))
    assert "without recurrent layers" in refusal.value.hint


def test_a_library_that_begins_anew_in_every_pass_is_refused(weights: Weights, tmp_path: Path) -> None:
    """transformers computes several tokens of a Mamba as if nothing had come before them."""
    with pytest.raises(ModelError, match="cannot rewind"):
        of_transformers(save("Mamba", tmp_path, weights, **RECURRENT["Mamba"]))
