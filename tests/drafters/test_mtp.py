"""A model's own next-token layer drafts: exact, proven by listing every draw, from the right states."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.config import Settings
from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Floats, Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.mtp import MtpDrafter
from speculatoviz.engine import decode
from speculatoviz.errors import ModelError
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_mtp import LlamaCppMtp
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.drafters import make_drafters
from speculatoviz.targets.local import LocalTarget
from support import twins
from support.head_drafts import TOGETHER, difference
from support.tiny_eagle3 import hashed_input
from support.tiny_recurrent import write_qwen35
from support.toy_pair import PROMPT as TOY_PROMPT
from support.toy_pair import no_clock
from support.tree_rounds import N_VOCAB

SIZE = 160
PROMPT = tuple(range(40, 60))
NOISE = 5e-3  # keys and values are in half precision
SINGLE = 1e-5  # q is float32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppModel]:
    loaded = LlamaCppModel(write_qwen35(tmp_path_factory.mktemp("mtp") / "mtp.gguf", next_token_layer=True), 1024)
    yield loaded
    loaded.close()


@pytest.fixture
def target(model: LlamaCppModel) -> Iterator[LocalTarget]:
    opened = LocalTarget(model, SIZE, lambda: 0.0)
    yield opened
    opened.close()


def drafter_of(target: LocalTarget) -> MtpDrafter:
    model = target.model
    assert isinstance(model, LlamaCppModel)
    ids = np.arange(model.tokenizer.n_vocab, dtype=np.int32)
    return MtpDrafter(LlamaCppMtp(model, SIZE), target.window, ids, SIZE, lambda: 0.0)


def rounds_of(target: LocalTarget, depth: int, temperature: float = 0.0) -> list[Round]:
    drafter = drafter_of(target)
    limits = Limits(60, ignore_eos=True)
    request = Request(PROMPT, Sampling(temperature), limits, evidence=False, needs=drafter.needs)
    try:
        return decode(request, target, {"mtp": drafter}, FixedPolicy("mtp", depth), seeded(0), lambda: 0.0)
    finally:
        drafter.close()


def test_a_model_with_such_a_layer_offers_the_drafter(
    model: LlamaCppModel, target: LocalTarget, tmp_path: Path
) -> None:
    assert model.mtp_layers == 1
    drafters = make_drafters(Settings(_env_file=None), target, None, None, time.perf_counter)
    assert isinstance(drafters["mtp"], MtpDrafter)
    drafters["mtp"].close()
    plain = LlamaCppModel(write_qwen35(tmp_path / "plain.gguf"), 256)
    assert plain.mtp_layers == 0
    plain.close()


def test_a_layer_that_cannot_be_opened_leaves_the_target_alone(
    model: LlamaCppModel, target: LocalTarget, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise ModelError("It broke.", "Try again.")

    monkeypatch.setattr(LlamaCppModel, "open_mtp", refused)
    drafters = make_drafters(Settings(_env_file=None), target, None, None, time.perf_counter)
    assert "mtp" not in drafters
    assert "It broke. Try again." in caplog.text


def test_greedy_text_is_the_plain_text(target: LocalTarget) -> None:
    plain = [token for round in rounds_of(target, 0) for token in round.emitted]
    rounds = rounds_of(target, 3)
    assert [token for round in rounds for token in round.emitted] == plain
    assert sum(len(round.draft) for round in rounds) > 30


def test_a_draft_depends_on_the_states_and_the_tokens(target: LocalTarget) -> None:
    """The layer's rows after a rewind are those of a fresh cache; another state, or another token, changes them."""
    window = target.window
    window.record()
    window.feed(PROMPT)
    model = target.model
    assert isinstance(model, LlamaCppModel)
    states = window.states.copy()

    def row(states: np.ndarray, tokens: list[int]) -> np.ndarray:
        graph = LlamaCppMtp(model, SIZE)
        cache = Eagle3Cache(graph)
        logits, _ = cache.append(states, tokens, last=True)
        graph.close()
        return logits[0]

    tokens = [*PROMPT, 7]
    right = row(states, tokens)
    graph = LlamaCppMtp(model, SIZE)
    cache = Eagle3Cache(graph)
    cache.append(states, [*PROMPT, 9], last=False)
    cache.keep(len(PROMPT) - 3)
    again, _ = cache.append(states[-3:], tokens[-4:], last=True)
    graph.close()
    assert np.abs(again[0] - right).max() < NOISE
    assert np.abs(row(states, [*PROMPT, 9]) - right).max() > 20 * NOISE
    assert np.abs(row(np.roll(states, 1, axis=0), tokens) - right).max() > 20 * NOISE, "the broken twin: stale states"


# --- every draw of a round, listed ----------------------------------------------------------------------


class HashedHidden:
    """Hidden states after the ids of the toy target's prompt, each a hash of everything up to it."""

    def __init__(self, width: int) -> None:
        self.ids, self._width = list(TOY_PROMPT[:-1]), width

    @property
    def states(self) -> Floats:
        rows = [hashed_input(self.ids[: end + 1]) for end in range(len(self.ids))]
        return np.array([np.resize(row, self._width) for row in rows], np.float32)


@pytest.fixture(scope="module")
def own(model: LlamaCppModel) -> Iterator[Callable[[], MtpDrafter]]:
    """Makes drafters of the layer for the toy pair's vocabulary: the first ids of the model's."""
    graph, ids = LlamaCppMtp(model, SIZE), np.arange(N_VOCAB, dtype=np.int32)
    graph.vocabulary = ids
    yield lambda: MtpDrafter(graph, HashedHidden(model.layer_width), ids, SIZE, no_clock)
    graph.close()


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER.keys())
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(
    make: Callable[[MtpDrafter], Drafter],
    sampling: Sampling,
    depth: int,
    nodes: int,
    own: Callable[[], MtpDrafter],
) -> None:
    assert difference(lambda: make(own()), sampling, depth, nodes) < SINGLE


def test_pruning_what_was_drawn_is_caught(own: Callable[[], MtpDrafter]) -> None:
    assert difference(lambda: twins.Pruning(own()), Sampling(1.0), 2, 4) > 1e-3
