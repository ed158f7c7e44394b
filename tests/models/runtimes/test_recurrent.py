"""Recurrent layers on llama.cpp: tiny random files of an architecture with snapshots, and of one without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import llama_cpp.llama_cpp as lib
import numpy as np
import psutil
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.steps import Drafted
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import decode, speculate
from speculatoviz.errors import ContextFullError, ModelError
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.files.gguf import read
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.rewinder import CHECKPOINTS, Rewinder
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_states import MOST_BYTES, MOST_SNAPSHOTS, plan_states
from speculatoviz.models.runtimes.sequence_contexts import RecurrentSequence
from speculatoviz.models.window import Window
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support import conformance_trees, passes
from support.conformance import CHECKS, Check
from support.conformance_trees import NEEDS_TREES
from support.recurrent_rounds import play_rounds
from support.runtimes import needs_ik, open_gguf
from support.tiny_gguf import write_tiny
from support.tiny_recurrent import write_lfm2, write_mamba2, write_qwen35

CELLS = 512
NOISE = {"mamba2": 1e-4, "lfm2": 2e-3, "qwen35": 5e-3}  # keys and values of attention layers are in half precision
WRITERS: dict[str, Callable[[Path, int], Path]] = {"mamba2": write_mamba2, "lfm2": write_lfm2, "qwen35": write_qwen35}
FORGETFUL = ("mamba2", "lfm2")  # of which llama.cpp can move positions and leave the state: not of Qwen3.5
MOST_GROWTH_BYTES = 16 << 20


@pytest.fixture(scope="module", params=WRITERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppModel]:
    path = WRITERS[kind](tmp_path_factory.mktemp(kind) / f"{kind}.gguf", 0)
    loaded = LlamaCppModel(path, CELLS, layers=True)
    yield loaded
    loaded.close()


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NEEDS_TREES], ids=lambda check: check.__name__)
def test_a_recurrent_model_keeps_the_promises_of_a_runtime(kind: str, model: LlamaCppModel, check: Check) -> None:
    check(model, NOISE[kind])


def test_it_is_known_how_each_architecture_rewinds(kind: str, model: LlamaCppModel) -> None:
    assert model.recurrent
    assert "trees" not in model.provides
    assert model.snapshots == model.rollback_tokens == MOST_SNAPSHOTS if kind != "mamba2" else not model.snapshots


@pytest.mark.parametrize("as_draft", [False, True], ids=["target", "draft"])
def test_random_rounds_give_the_rows_of_a_fresh_context(kind: str, model: LlamaCppModel, as_draft: bool) -> None:
    assert play_rounds(model, 100, NOISE[kind], as_draft=as_draft) == 10


@pytest.mark.full
@pytest.mark.parametrize("as_draft", [False, True], ids=["target", "draft"])
def test_a_thousand_random_rounds_leave_nothing_behind(kind: str, model: LlamaCppModel, as_draft: bool) -> None:
    play_rounds(model, 100, NOISE[kind], as_draft=as_draft)
    before = psutil.Process().memory_info().rss
    play_rounds(model, 1_000, NOISE[kind], seed=1, as_draft=as_draft)
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH_BYTES


# --- the broken twins ---------------------------------------------------------------------------------


def forgets_to_restore(patch: pytest.MonkeyPatch) -> None:
    """The positions return to the wanted length, and the recurrent state stays what it was."""

    def move(context: RecurrentSequence, length: int) -> bool:
        memory = context.model.memory  # type: ignore[attr-defined]
        end = lib.llama_memory_seq_pos_max(memory, context.sequence) + 1
        if length == 0:
            return context.model.remove_cells(context.sequence, 0)
        lib.llama_memory_seq_add(memory, context.sequence, 0, -1, length - end)
        return True

    patch.setattr(RecurrentSequence, "load", lambda self, _, length: move(self, length))
    patch.setattr(RecurrentSequence, "roll_back", move)


def trusts_every_snapshot(patch: pytest.MonkeyPatch) -> None:
    """llama.cpp returns to snapshots that no pass has written, and does not tell."""
    patch.setattr(
        Rewinder, "_rolls_back", lambda self, length: length > 0 and self.held - length <= max(1, self._snapshots)
    )
    patch.setattr(RecurrentSequence, "roll_back", lambda self, length: self.model.remove_cells(self.sequence, length))


def computes_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """The tokens between the copy and the wanted length are left out."""
    patch.setattr(RecurrentSequence, "compute", lambda *_: None)


@pytest.mark.parametrize(
    ("broken", "kinds"),
    [
        (forgets_to_restore, FORGETFUL),
        (trusts_every_snapshot, ("lfm2", "qwen35")),
        (computes_nothing_again, ("mamba2",)),
    ],
    ids=["forgets", "trusts", "skips"],
)
def test_a_runtime_that_loses_the_state_is_caught(
    kind: str,
    model: LlamaCppModel,
    broken: Callable[[pytest.MonkeyPatch], None],
    kinds: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind not in kinds:
        pytest.skip("does not rewind in that way")
    broken(monkeypatch)
    with pytest.raises((AssertionError, ModelError)):
        play_rounds(model, 100, NOISE[kind], as_draft=broken is trusts_every_snapshot)


def test_inputs_of_layers_from_the_pass_of_a_rewind_are_caught(
    kind: str, model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: the layers are asked for before the passes that compute tokens again."""
    want, forward = LlamaCppModel._want_layers, LlamaCppModel.forward

    def early(self: LlamaCppModel, feeds: Sequence[Feed]) -> list[Rows]:
        want(self, frozenset(layer for feed in feeds for layer in feed.layers))
        return forward(self, feeds)

    monkeypatch.setattr(LlamaCppModel, "_want_layers", lambda *_: None)
    monkeypatch.setattr(LlamaCppModel, "forward", early)
    with pytest.raises(AssertionError):
        conformance_trees.inputs_of_layers_belong_to_their_tokens(model, NOISE[kind])


def test_a_library_that_does_not_restore_the_state_is_refused(
    kind: str, model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind not in FORGETFUL:
        pytest.skip("its positions cannot be moved")
    forgets_to_restore(monkeypatch)
    with pytest.raises(ModelError, match="cannot rewind") as refusal:
        LlamaCppModel(model.path, CELLS)
    assert "without recurrent layers" in refusal.value.hint


def test_a_file_passes_its_trial_without_trees(kind: str, tmp_path: Path) -> None:
    """Every file from outside is tried in a child process first, which a tree would end."""
    require_loadable(WRITERS[kind](tmp_path / "tiny.gguf", 0), tmp_path, "llamacpp")


@needs_ik
def test_ik_refuses_what_it_cannot_rewind(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_gguf("ik", write_mamba2(tmp_path / "mamba2.gguf"), CELLS)


# --- whole runs ---------------------------------------------------------------------------------------

PROMPT = tuple(range(40, 75))


def text_of(target: LocalTarget, draft: LlamaCppModel, depth: int, temperature: float = 0.0) -> list[int]:
    request = Request(PROMPT, Sampling(temperature), Limits(60, ignore_eos=True), evidence=False)
    drafter = ModelDrafter(draft, draft.tokenizer, 160, lambda: 0.0)
    policy = FixedPolicy("model", depth)
    try:
        rounds = decode(request, target, {"model": drafter}, policy, seeded(0), lambda: 0.0)
    finally:
        drafter.close()
    return [token for round in rounds for token in round.emitted]


def test_greedy_speculation_gives_the_plain_text(kind: str, model: LlamaCppModel, tmp_path: Path) -> None:
    """The draft model is recurrent too: the same weights, which accept all, and others, which accept next to none."""
    other = LlamaCppModel(WRITERS[kind](tmp_path / "other.gguf", 5), CELLS)
    target = LocalTarget(model, 160, lambda: 0.0)
    try:
        plain = text_of(target, other, 0)
        assert len(plain) == 60
        assert len(set(plain)) > 5, "a text that repeats one token would hide a lost state"
        for draft in (model, other):
            assert text_of(target, draft, 4) == plain
    finally:
        target.close()
        other.close()


def test_a_run_on_a_runtime_that_loses_the_state_has_another_text(
    kind: str, model: LlamaCppModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin of the test above."""
    if kind not in FORGETFUL:
        pytest.skip("its positions cannot be moved")
    other = LlamaCppModel(WRITERS[kind](tmp_path / "other.gguf", 5), CELLS)
    target = LocalTarget(model, 160, lambda: 0.0)
    try:
        plain = text_of(target, other, 0)
        forgets_to_restore(monkeypatch)
        assert text_of(target, other, 4) != plain
    finally:
        target.close()
        other.close()


def test_drafts_keep_to_what_is_rolled_back(kind: str, model: LlamaCppModel) -> None:
    """A depth and a tree that the model cannot take are reduced, and the run reports both once."""
    target = LocalTarget(model, 160, lambda: 0.0)
    drafter = ModelDrafter(model, model.tokenizer, 160, lambda: 0.0)
    request = Request(PROMPT, Sampling(0.0), Limits(60, ignore_eos=True), evidence=False)
    try:
        steps = list(
            speculate(request, target, {"model": drafter}, FixedPolicy("model", 12, 20), seeded(0), lambda: 0.0)
        )
    finally:
        drafter.close()
        target.close()
    drafted = [step for step in steps if isinstance(step, Drafted)]
    assert max(len(step.draft) for step in drafted) == (12 if kind == "mamba2" else MOST_SNAPSHOTS)
    assert all(step.draft.is_chain for step in drafted)
    warnings = [step.warning[0] for step in drafted if step.warning]
    assert sum("chains of tokens only" in text for text in warnings) == 1
    assert sum("at most 8 tokens" in text for text in warnings) == (kind != "mamba2")


# --- prompts and memory -------------------------------------------------------------------------------


class Counting(LlamaCppModel):
    """Counts the tokens that it computes."""

    computed = 0

    def _decode(self, hidden: bool) -> int:
        self.computed += int(self._batch.n_tokens)
        return super()._decode(hidden)


def test_a_prompt_is_computed_once(kind: str, tmp_path: Path) -> None:
    """The same prompt again, a longer one, and one that comes back after another: none begins from nothing."""
    model = Counting(WRITERS[kind](tmp_path / "tiny.gguf", 0), CELLS)
    window = Window(model, 200, PrefixCache(1_000))
    rng = np.random.default_rng(0)
    first, other = (rng.integers(3, 200, 100).tolist() for _ in range(2))
    try:

        def cost(ids: Sequence[int]) -> int:
            before = model.computed
            window.prefill(ids[:-1], lambda: False)
            window.feed([ids[-1], 7, 8, 9])
            window.accept([0, 1])
            return model.computed - before

        assert cost(first) == 103
        assert cost(first) <= 4 + 3
        assert cost([*first, 7, 5, 6]) <= 10
        assert 103 <= cost(other) <= 110
        assert cost([*first, 7, 5, 6, 7, 9, 9]) <= 10, "what was held before comes from the prompt cache"
    finally:
        window.close()
        model.close()


def test_a_snapshot_of_another_length_is_refused_and_leaves_an_empty_context(kind: str, model: LlamaCppModel) -> None:
    with passes.opened(model, 2) as [used, fresh]:
        assert isinstance(used, RecurrentSequence)
        passes.rows_of(model, used, PROMPT)
        state = used.snapshot()
        assert state is not None
        assert not used.restore(state, len(PROMPT) - 1)
        assert used.length == 0
        again, first = (passes.rows_of(model, context, PROMPT[5:]) for context in (used, fresh))
        passes.assert_close(again, first, NOISE[kind])


def test_as_many_contexts_open_as_there_are_states(model: LlamaCppModel) -> None:
    contexts = [model.open(8) for _ in range(model.sequences // (1 + CHECKPOINTS))]
    with pytest.raises(ContextFullError, match="sequences for this model"):
        model.open(8)
    for context in contexts:
        context.close()
    model.open(8).close()


def test_states_that_need_much_memory_get_fewer_copies(tmp_path: Path) -> None:
    """Sizes of published models: the state of one sequence, in numbers of the header."""

    def plan(layers: int, inner: int, state: int) -> tuple[int, int]:
        fields = {
            "{arch}.block_count": layers,
            "{arch}.ssm.inner_size": inner,
            "{arch}.ssm.state_size": state,
            "{arch}.ssm.conv_kernel": 4,
            "{arch}.ssm.group_count": 1,
        }
        return plan_states(read(write_tiny(tmp_path / "tiny.gguf", "none", architecture="mamba2", fields=fields)))

    assert plan(2, 64, 16) == (32, MOST_SNAPSHOTS)
    for layers, inner, state in ((24, 2_048, 128), (32, 4_096, 128), (64, 5_120, 128)):
        sequences, snapshots = plan(layers, inner, state)
        assert sequences >= 2 * (1 + CHECKPOINTS)
        assert sequences * (1 + snapshots) * layers * inner * state * 4 <= max(
            MOST_BYTES, 2 * (1 + CHECKPOINTS) * layers * inner * state * 4
        )


def test_checks_see_more_than_the_last_token(kind: str, model: LlamaCppModel) -> None:
    """Otherwise a lost state would not show: the first of ten tokens moves the last row by more than the noise."""
    with passes.opened(model, 2) as [one, two]:
        first = passes.rows_of(model, one, [5, *range(10, 19)], rows="last")
        other = passes.rows_of(model, two, [99, *range(10, 19)], rows="last")
    assert np.abs(first - other).max() > 5 * NOISE[kind]
