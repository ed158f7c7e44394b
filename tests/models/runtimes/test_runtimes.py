"""The conformance suite, run over every runtime that is installed; its broken twins; and what is one runtime's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from speculatoviz.core.types import Floats
from speculatoviz.errors import ContextFullError, ModelError
from speculatoviz.models import load
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.runtimes import llamacpp
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.toy import ALPHABET, ToyContext, ToyModel
from speculatoviz.models.window import Window
from support import conformance, conformance_trees, passes
from support.conformance import CHECKS, Check
from support.conformance_trees import NEEDS_TREES
from support.runtimes import RUNTIMES, Runtime, Weights


def _cases() -> Iterator[object]:
    for runtime in RUNTIMES.values():
        marks = [pytest.mark.skipif(not runtime.installed, reason=f"needs {', '.join(runtime.needs)}")]
        if runtime.name == "mlx" and sys.platform == "linux":  # its CPU build takes minutes
            marks.append(pytest.mark.full)
        yield pytest.param(
            runtime, id=runtime.name, marks=marks if runtime.name == "toy" else [*marks, pytest.mark.smol]
        )


@pytest.fixture(scope="module", params=_cases())
def case(request: pytest.FixtureRequest) -> Iterator[tuple[LanguageModel, Runtime]]:
    runtime: Runtime = request.param
    missing = Weights(*[Path("missing")] * 3)
    model = runtime.open(request.getfixturevalue("weights") if runtime.smol else missing)
    yield model, runtime
    model.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_runtime_keeps_its_promises(case: tuple[LanguageModel, Runtime], check: Check) -> None:
    model, runtime = case
    if check in NEEDS_TREES and "trees" not in model.provides:
        pytest.skip("gives no trees")
    check(model, runtime.noise)


def test_a_pass_that_fails_half_way_changes_nothing(
    case: tuple[LanguageModel, Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the contexts of a pass are computed in turn, the second may fail when the first has grown."""
    model, runtime = case
    honest = getattr(model, "_model", None)
    if not callable(honest):
        pytest.skip("computes all contexts at once")
    ids = passes.ids_of(model)
    with passes.opened(model, 2) as [first, second]:
        right = passes.rows_of(model, first, ids)
        first.keep(4)
        calls = iter([honest])

        def failing(*args: Any, **kwargs: Any) -> Any:
            if (compute := next(calls, None)) is not None:
                return compute(*args, **kwargs)
            honest(*args, **kwargs)
            raise ModelError("It broke.", "Try again.")

        failing.config = getattr(honest, "config", None)  # type: ignore[attr-defined]
        monkeypatch.setattr(model, "_model", failing)
        with pytest.raises(ModelError, match="broke"):
            model.forward([Feed(first, ids[4:7]), Feed(second, ids[:3])])
        monkeypatch.setattr(model, "_model", honest)
        assert (first.length, second.length) == (4, 0)
        passes.assert_close(passes.rows_of(model, first, ids[4:]), right[4:], runtime.noise)
        passes.assert_close(passes.rows_of(model, second, ids), right, runtime.noise)


class OffByOne(ToyModel):
    """Rewinds one token too far."""

    def open(self, size: int) -> ToyContext:
        class Context(ToyContext):
            def keep(self, length: int, path: Sequence[int] = ()) -> None:
                super().keep(length, path)
                if length and not path:
                    self.tokens[length - 1 :] = [0]

        return Context(size)


class Crosstalk(ToyModel):
    """Every context sees the tokens of the latest one."""

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        rows = super().forward(feeds)
        return rows if len(feeds) == 1 else [rows[-1], *rows[1:]]


class FlatTree(ToyModel):
    """Lets every node see the ones before it, as in a chain."""

    def _extend(self, feed: Feed) -> Floats:
        right = super()._extend(feed)
        if feed.parents is None:
            return right
        prefix = feed.context.tokens if isinstance(feed.context, ToyContext) else []
        return right * 0 + [self.logits([*prefix, *feed.tokens[: node + 1]]) for node in range(len(feed.tokens))]


class NextLayer(ToyModel):
    """Gives the input of the layer above."""

    def layer_inputs(self, layers: Sequence[int], prefix: Sequence[int]) -> Floats:
        return super().layer_inputs([layers[0] + 1] * len(layers), prefix)


class LastInput(ToyModel):
    """Gives every token of a pass the inputs of the last one."""

    def _inner(self, feed: Feed) -> Floats | None:
        right = super()._inner(feed)
        return None if right is None else right[-1:].repeat(len(right), axis=0)


class WrongPath(ToyModel):
    """Keeps the first nodes of a tree instead of those of the path."""

    def open(self, size: int) -> ToyContext:
        class Context(ToyContext):
            def keep(self, length: int, path: Sequence[int] = ()) -> None:
                nodes, length_before = self.nodes, self.length
                super().keep(length, path)
                if path:
                    self.tokens[length_before:] = nodes[: len(path)]

        return Context(size)


class StaleSnapshot(ToyModel):
    """Restores a snapshot only after the tokens that it holds."""

    def open(self, size: int) -> ToyContext:
        class Context(ToyContext):
            def restore(self, state: Snapshot, length: int) -> bool:
                before = list(self.tokens)
                restored = super().restore(state, length)
                self.tokens[: len(before)] = before[: self.length]
                return restored

        return Context(size)


class Leaking(ToyModel):
    """Keeps a megabyte of every context it ever opened."""

    def __init__(self) -> None:
        super().__init__(0, ALPHABET)
        self.leaked: list[bytes] = []

    def open(self, size: int) -> ToyContext:
        self.leaked.append(bytes([len(self.leaked) % 256]) * (1 << 20))
        return super().open(size)


class Overfull(ToyModel):
    """Forgets to check what it is given."""

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        return [Rows(self._extend(feed)) for feed in feeds]


@pytest.mark.parametrize(
    ("twin", "caught_by"),
    [
        (OffByOne(0, ALPHABET), conformance.rewinding_leaves_no_trace),
        (Crosstalk(0, ALPHABET), conformance.two_sequences_do_not_meet),
        (FlatTree(0, ALPHABET), conformance_trees.a_tree_gives_the_rows_of_its_chains),
        (NextLayer(0, ALPHABET), conformance_trees.inputs_of_layers_belong_to_their_tokens),
        (LastInput(0, ALPHABET), conformance_trees.inputs_of_layers_belong_to_their_tokens),
        (WrongPath(0, ALPHABET), conformance_trees.one_path_of_a_tree_is_kept),
        (WrongPath(0, ALPHABET), conformance_trees.trees_follow_trees),
        (StaleSnapshot(0, ALPHABET), conformance.a_snapshot_brings_back_what_was_held),
        (Leaking(), conformance.closing_gives_the_memory_back),
        (Overfull(0, ALPHABET), conformance.an_unknown_id_is_refused_and_changes_nothing),
        (Overfull(0, ALPHABET), conformance.a_full_context_says_so_and_stays_usable),
        (Overfull(0, ALPHABET), conformance_trees.a_tree_is_settled_before_the_next_pass),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_broken_twin_is_caught(twin: LanguageModel, caught_by: Check) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, IndexError)):
        caught_by(twin, 0.0)


@pytest.fixture
def window() -> Iterator[Window]:
    opened = Window(ToyModel(), 128)
    yield opened
    opened.close()


IDS = [1, 2, 3, 0, 2, 1, 3, 3, 0, 1]


def test_a_pass_that_fails_after_growing_the_context_is_rewound(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyModel()
    window = Window(model, 64)
    whole = model.forward

    def failing(feeds: Sequence[Feed]) -> list[Rows]:
        whole(feeds)
        raise ModelError("It broke.", "Try again.")

    right = window.feed(IDS)[-1].copy()
    window.keep(4)
    monkeypatch.setattr(model, "forward", failing)
    with pytest.raises(ModelError):
        window.feed([2, 2])
    monkeypatch.setattr(model, "forward", whole)
    assert np.array_equal(window.feed(IDS[4:])[-1], right)


def test_the_common_prefix_is_kept(window: Window) -> None:
    window.prefill(IDS, lambda: False)
    assert window.missing([*IDS[:6], 9, 9]) == [9, 9]
    assert window.context.length == 6
    assert window.missing(IDS[:6]) == [IDS[5]], "the last id is fed again: its row is wanted"


def test_fingerprints_tell_vocabularies_apart() -> None:
    assert ToyModel(0).tokenizer.fingerprint == ToyModel(7).tokenizer.fingerprint
    assert ToyModel(0).tokenizer.fingerprint != ToyModel(0, [b"x", b"y"]).tokenizer.fingerprint


@pytest.fixture(scope="module")
def smol(smol_path: Path) -> Iterator[LlamaCppModel]:
    loaded = LlamaCppModel(smol_path, cells=256)
    yield loaded
    loaded.close()


@pytest.mark.smol
def test_the_models_own_chat_template_is_rendered(smol: LlamaCppModel) -> None:
    text = smol.tokenizer.render_chat(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye"},
        ]
    )
    assert text.count("<|im_start|>") == 5
    assert text.index("Be brief.") < text.index("Hi") < text.index("Hello.") < text.index("Bye")
    assert text.endswith("<|im_start|>assistant\n")


@pytest.mark.smol
def test_control_tokens_are_read_only_where_asked(smol: LlamaCppModel) -> None:
    tokenizer = smol.tokenizer
    end = next(t for t in tokenizer.eos_ids if tokenizer.token_name(t) == "<|im_end|>")
    assert end in tokenizer.encode("a<|im_end|>", special=True)
    assert end not in tokenizer.encode("a<|im_end|>", special=False)
    assert tokenizer.token_bytes(end) == b""


@pytest.mark.smol
def test_text_survives_a_round_trip(smol: LlamaCppModel) -> None:
    text = "naïve café 你好 🚀\n\tdef f(x):"
    ids = smol.tokenizer.encode(text, special=False)
    assert b"".join(smol.tokenizer.token_bytes(t) for t in ids).decode() == text
    assert any(len(smol.tokenizer.token_bytes(t).decode(errors="ignore")) == 0 for t in ids), "split characters"


@pytest.mark.smol
def test_a_file_that_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(ModelError, match="cannot be read as a GGUF file"):
        LlamaCppModel(broken)


@pytest.mark.smol
def test_no_more_room_is_said(smol: LlamaCppModel) -> None:
    with pytest.raises(ContextFullError, match="10000 tokens"):
        smol.open(10_000)


@pytest.mark.parametrize(
    ("build", "extra"), [(b"AVX2 = 1 | AMX_INT8 = 1 | ", False), (b"AVX2 = 1 | REPACK = 1 | ", True)]
)
def test_a_build_with_amx_gets_the_plain_kernels(monkeypatch: pytest.MonkeyPatch, build: bytes, extra: bool) -> None:
    monkeypatch.setattr(llamacpp.lib, "llama_print_system_info", lambda: build)
    assert llamacpp._model_params().use_extra_bufts is extra


BRIEF = {"GOMP_SPINCOUNT": "2000"}
BRIEF_BESIDE_OTHERS = BRIEF | {"KMP_BLOCKTIME": "1", "OMP_WAIT_POLICY": "active"}  # `active` limits what is cut off


@pytest.mark.parametrize(
    ("given", "platform", "set_to"),
    [
        ({}, "linux", BRIEF_BESIDE_OTHERS),
        ({}, "darwin", BRIEF),
        ({"GOMP_SPINCOUNT": "7"}, "linux", BRIEF_BESIDE_OTHERS | {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "passive"}, "linux", {"OMP_WAIT_POLICY": "passive"}),
    ],
)
def test_threads_spin_briefly_unless_the_user_says_how(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], platform: str, set_to: dict[str, str]
) -> None:
    monkeypatch.setattr(load.os, "environ", dict(given))
    monkeypatch.setattr(load.sys, "platform", platform)
    load._share_cores()
    assert load.os.environ == set_to


def test_numpy_keeps_to_one_thread_beside_llamacpp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pools = ThreadpoolController().select(internal_api="openblas").lib_controllers
    before = [pool.num_threads for pool in pools]
    if not pools:
        pytest.skip("NumPy computes with another library")
    for opener in ("_load", "_load_gguf"):
        monkeypatch.setattr(load, opener, lambda *_: None)
    try:
        for name, threads in (("hf:folder", 2), ("llamacpp:model.gguf", 1)):
            for pool in pools:
                pool.set_num_threads(2)
            load.load_model(name, load.Loading(64, tmp_path), None, lambda *_: None)
            assert {pool.num_threads for pool in pools} == {threads}
    finally:
        for pool, threads in zip(pools, before, strict=True):
            pool.set_num_threads(threads)
