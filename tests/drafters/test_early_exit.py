"""Early exit: the target's first layers draft in the target's own cells, and leave its text as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.selfspec import ExitDrafter, SelfDrafter
from speculatoviz.engine import decode
from speculatoviz.errors import ModelError
from speculatoviz.models.base import Feed
from speculatoviz.models.files.skip import count_layers
from speculatoviz.models.load import Loading, exit_layers, load_cheaper
from speculatoviz.models.shared_window import EarlyExitModel, SharedWindow
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import Done
from support import toy_session
from support.passes import assert_close
from support.runtimes import CAN_CONVERT, Weights
from support.tiny_folders import RECURRENT, of_transformers, save
from support.tiny_gguf import write_tiny

pytestmark = [pytest.mark.smol, pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra hf")]

SIZE, LAYERS, FIRST = 128, 4, 2
PROMPT = tuple(range(40, 60))


@pytest.fixture(scope="module", params=["Llama", "Qwen2", "Gemma2"])
def model(request: pytest.FixtureRequest, weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    more = {"head_dim": 16, "sliding_window": 8, "tie_word_embeddings": False} if request.param == "Gemma2" else {}
    folder = tmp_path_factory.mktemp(request.param)
    save(request.param, folder, weights, num_hidden_layers=LAYERS, initializer_range=0.3, **more)
    loaded = of_transformers(folder)
    yield loaded
    loaded.close()


@pytest.fixture
def target(model: Any) -> Iterator[LocalTarget]:
    opened = LocalTarget(model, SIZE, lambda: 0.0)
    yield opened
    opened.close()


def exit_drafter(target: LocalTarget, first: int = FIRST) -> ExitDrafter:
    model, window = target.model, target.window
    assert isinstance(model, EarlyExitModel)
    return ExitDrafter(model.first_layers(first, window.context), model.tokenizer, window, lambda: 0.0)


def rounds_of(
    target: LocalTarget, drafter: Drafter, depth: int, nodes: int = 0, temperature: float = 0.0, seed: int = 0
) -> list[Round]:
    request = Request(PROMPT, Sampling(temperature), Limits(50, ignore_eos=True), seed=seed, evidence=False)
    policy = FixedPolicy(drafter.name, depth, nodes)
    return decode(request, target, {drafter.name: drafter}, policy, seeded(seed), lambda: 0.0)


def text_of(rounds: list[Round]) -> list[int]:
    return [token for round in rounds for token in round.emitted]


def drafts_of(rounds: list[Round]) -> list[list[int]]:
    return [round.draft.tokens.tolist() for round in rounds]


def test_the_rows_are_those_of_the_first_layers(model: Any, target: LocalTarget) -> None:
    """Computed from the whole model's states between its layers, through its norm and output matrix."""
    import torch

    drafter = exit_drafter(target)
    logits = np.array(drafter.window.feed(PROMPT))
    library = model.library_model
    with torch.inference_mode():
        states = library(torch.tensor([PROMPT]), output_hidden_states=True).hidden_states[FIRST]
        expected = library.lm_head(library.get_decoder().norm(states))[0]
        if (cap := getattr(library.config, "final_logit_softcapping", None)) is not None:
            expected = torch.tanh(expected / cap) * cap
    assert_close(logits, expected.numpy(), 1e-3)


def test_weights_and_cells_exist_once(model: Any, target: LocalTarget) -> None:
    drafter = exit_drafter(target)
    rounds_of(target, drafter, 3)
    whole = {parameter.data_ptr() for parameter in model.library_model.parameters()}
    assert {parameter.data_ptr() for parameter in drafter.window.model.library_model.parameters()} < whole  # type: ignore[attr-defined]
    cells = [layer.keys.data_ptr() for layer in drafter.window.context.layers]  # type: ignore[attr-defined]
    assert cells == [layer.keys.data_ptr() for layer in target.window.context.layers[:FIRST]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("nodes", [0, 9], ids=["chains", "trees"])
def test_greedy_text_is_the_plain_text(target: LocalTarget, nodes: int) -> None:
    drafter = exit_drafter(target)
    plain = text_of(rounds_of(target, drafter, 0))
    assert len(set(plain)) > 5
    for _ in range(2):  # the second run finds what the first has left
        assert text_of(rounds_of(target, drafter, 4, nodes)) == plain


def test_drafts_are_those_of_the_same_layers_with_cells_of_their_own(target: LocalTarget) -> None:
    """Sampled too: with one seed both draw the same tokens, round by round."""
    model = target.model
    assert isinstance(model, EarlyExitModel)
    beside = model.open(SIZE)
    alone = SelfDrafter(model.first_layers(FIRST, beside), model.tokenizer, SIZE, lambda: 0.0)
    try:
        for temperature in (0.0, 0.8):
            one = rounds_of(target, exit_drafter(target), 4, temperature=temperature)
            two = rounds_of(target, alone, 4, temperature=temperature)
            assert drafts_of(one) == drafts_of(two)
            assert text_of(one) == text_of(two)
            assert any(len(round.emitted) > 1 for round in one) or temperature == 0.0
    finally:
        beside.close()


class Stale(SharedWindow):
    """The broken twin: takes the owner's ids over once, and later trusts what it has drafted itself."""

    def _adopt(self) -> None:
        if self._adopted is None:
            super()._adopt()


class Greedy(SharedWindow):
    """The broken twin: writes into the owner's last cells."""

    def feed(self, *args: Any, **kwargs: Any) -> Any:
        self.context.adopt(max(0, len(self.ids) - 3))
        rows = super().feed(*args, **kwargs)
        self.context.adopt(len(self.ids))
        return rows


def with_window(target: LocalTarget, kind: type[SharedWindow]) -> ExitDrafter:
    drafter = exit_drafter(target)
    drafter.window = drafter._shared = kind(drafter.window.model, target.window)  # type: ignore[arg-type]
    return drafter


def test_cells_that_are_not_taken_over_are_caught(target: LocalTarget) -> None:
    """In trees: a chain's accepted tokens are where the target writes them too."""
    if "trees" not in target.model.provides:
        pytest.skip("gives no trees")
    right = drafts_of(rounds_of(target, exit_drafter(target), 4, 9))
    assert drafts_of(rounds_of(target, with_window(target, Stale), 4, 9)) != right


def test_cells_of_the_target_that_are_overwritten_are_caught(target: LocalTarget) -> None:
    plain = text_of(rounds_of(target, exit_drafter(target), 0))
    assert text_of(rounds_of(target, with_window(target, Greedy), 4)) != plain


def test_another_text_rewinds_the_target(target: LocalTarget) -> None:
    """A draft after a text that the target does not hold overwrites its cells: the target computes them again."""
    drafter = exit_drafter(target)
    plain = text_of(rounds_of(target, drafter, 0))
    others = list(range(90, 120))
    drafter.window.prefill(others, lambda: False)
    drafter.window.missing([*PROMPT[:5], *others])
    assert target.window.ids == list(PROMPT[:0])
    assert text_of(rounds_of(target, drafter, 0)) == plain
    fresh = target.model.open(SIZE)
    right = np.array(target.model.forward([Feed(fresh, PROMPT)])[0].logits)
    target.window.keep(0)
    assert_close(np.array(target.window.feed(PROMPT)), right, 1e-4)
    fresh.close()


def test_layers_that_do_not_exist_are_refused_in_words(target: LocalTarget) -> None:
    for count in (0, LAYERS, 99):
        with pytest.raises(ModelError, match=f"has {LAYERS} layers") as refusal:
            exit_drafter(target, count)
        assert f"1 to {LAYERS - 1}" in refusal.value.hint


def test_recurrent_layers_are_refused_in_words(weights: Weights, tmp_path: Path) -> None:
    model = of_transformers(save("Lfm2", tmp_path, weights, **RECURRENT["Lfm2"]))
    with pytest.raises(ModelError, match="cannot be computed alone"):
        model.first_layers(1, model.open(8))


@pytest.mark.parametrize(
    ("text", "count"), [("first:8", 8), ("first:", None), ("first:x", None), ("Q4_0", None), ("0.8", None), ("8", None)]
)
def test_first_layers_are_read_from_the_setting(text: str, count: int | None) -> None:
    assert exit_layers(text) == count


def test_a_session_drafts_with_the_first_layers(weights: Weights, tmp_path: Path) -> None:
    """Named by `--selfspec`, measured, and used; without it the reason states what to do."""
    folder = save("Llama", tmp_path, weights, num_hidden_layers=LAYERS, initializer_range=0.3)
    about = {"target": f"hf:{folder}", "draft": "none", "device": "cpu", "dtype": "float32", "context_tokens": 512}
    session = toy_session.load(tmp_path, **about, drafter="selfspec", selfspec=f"first:{FIRST}", policy="fixed")
    try:
        assert session.calibration.draft_ms is not None
        texts = []
        for depth in (0, 3):
            events = toy_session.run(session, k=depth, max_tokens=20, drafter="selfspec", ignore_eos=True)
            assert isinstance(events[-1], Done)
            texts.append(events[-1].token_ids)
        assert texts[0] == texts[1]
        assert events[-1].metrics.drafted > 0
    finally:
        session.close()
    without = toy_session.load(tmp_path, **about)
    assert "first:N" in str(without.missing["selfspec"])
    without.close()


def test_a_runtime_without_parts_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refusal:
        toy_session.load(tmp_path, drafter="selfspec", selfspec="first:1")
    assert refusal.value.hint


def test_a_gguf_file_is_cut_after_its_first_layers(tmp_path: Path) -> None:
    """On llama.cpp: a file of the first layers, with a cache of its own."""
    whole = write_tiny(tmp_path / "tiny.gguf", "bpe")
    how = Loading(128, tmp_path, runtime="llamacpp")
    first = load_cheaper(str(whole), how, "first:1", lambda *_: None)
    assert first is not None
    assert first.description.name.endswith("its first 1 layers")
    assert count_layers(Path(str(first.description.gguf))) == 1
    first.close()
    with pytest.raises(ModelError, match="has 2 layers, and the layers to keep are"):
        load_cheaper(str(whole), how, "first:9", lambda *_: None)


def test_it_is_a_model_drafter(target: LocalTarget) -> None:
    """So that the audit, the proofs and the statistics of draft models hold for it: only its cells differ."""
    assert isinstance(exit_drafter(target), ModelDrafter)
