"""What every runtime promises, asked of the toy and of llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.errors import BadRequestError, CancelledError, ContextFullError, ModelError
from speculatoviz.models import llamacpp, load
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel, Rows, Window
from speculatoviz.models.llamacpp import LlamaCppModel
from speculatoviz.models.toy import ToyModel


@pytest.fixture(scope="module", params=["toy", pytest.param("llamacpp", marks=pytest.mark.smol)])
def model(request: pytest.FixtureRequest) -> Iterator[LanguageModel]:
    if request.param == "toy":
        yield ToyModel()
        return
    path: Path = request.getfixturevalue("smol_path")
    loaded = LlamaCppModel(path, cells=512)
    yield loaded
    loaded.close()


@pytest.fixture
def window(model: LanguageModel) -> Iterator[Window]:
    opened = Window(model, 128)
    yield opened
    opened.close()


IDS = [1, 2, 3, 0, 2, 1, 3, 3, 0, 1]


def one_by_one(window: Window, ids: list[int]) -> np.ndarray:
    return np.array([window.feed([token])[0].copy() for token in ids])


def test_a_batch_gives_the_rows_of_single_passes(window: Window) -> None:
    single = one_by_one(window, IDS)
    window.keep(0)
    assert np.abs(window.feed(IDS) - single).max() < 0.01


def test_rewinding_and_going_on_is_as_if_it_had_not_been(window: Window) -> None:
    single = one_by_one(window, IDS)
    window.feed([3, 3, 3])
    window.keep(4)
    assert np.array_equal(one_by_one(window, IDS[4:]), single[4:])


def test_the_logits_depend_on_the_whole_prefix(window: Window) -> None:
    """A cache that is one token off must show."""
    right = one_by_one(window, IDS)[-1]
    window.keep(0)
    wrong = one_by_one(window, IDS[1:])[-1]
    assert np.abs(right - wrong).max() > 0.01


def test_two_contexts_in_one_pass_do_not_meet(model: LanguageModel, window: Window) -> None:
    other = model.open(64)
    alone = window.feed(IDS).copy()
    window.keep(0)
    together = model.forward([Feed(window.context, IDS), Feed(other, [2, 2, 2])])
    assert together[0].logits.shape == alone.shape
    assert np.abs(together[0].logits - alone).max() < 0.01
    assert together[1].logits.shape[0] == 3
    other.close()
    window.context.keep(0)


def test_only_the_last_row_is_computed_when_asked(window: Window) -> None:
    assert window.feed(IDS, "last").shape == (1, window.model.tokenizer.n_vocab)


def test_a_full_context_says_so_and_stays_usable(window: Window) -> None:
    with pytest.raises(ContextFullError, match="holds 128 tokens"):
        window.catch_up([1] * 129, lambda: False)
    window.keep(4)
    assert window.feed(IDS).shape[0] == len(IDS)


def test_an_unknown_id_is_refused_and_the_context_stays_usable(window: Window) -> None:
    first = window.feed(IDS[:3])[-1].copy()
    with pytest.raises(BadRequestError, match="outside the vocabulary"):
        window.feed([window.model.tokenizer.n_vocab])
    window.keep(2)
    assert np.array_equal(window.feed(IDS[2:3])[-1], first)


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


def test_a_prefill_is_cancelled_between_chunks(window: Window) -> None:
    looks = iter([False, True])
    with pytest.raises(CancelledError):
        window.prefill([1] * 120, lambda: next(looks))
    assert len(window.ids) == PREFILL_TOKENS
    window.prefill([1] * 100, lambda: False)
    assert len(window.ids) == 100


def test_the_common_prefix_is_kept(window: Window) -> None:
    window.prefill(IDS, lambda: False)
    assert window.missing([*IDS[:6], 9, 9]) == [9, 9]
    assert window.context.length == 6
    assert window.missing(IDS[:6]) == [IDS[5]], "the last id is fed again: its row is wanted"


def test_closing_gives_the_room_back(model: LanguageModel) -> None:
    for _ in range(40):
        opened = model.open(128)
        model.forward([Feed(opened, [1, 2, 3])])
        opened.close()


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
    with pytest.raises(ModelError, match="could not load"):
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


@pytest.mark.parametrize(("policy", "spins"), [(None, "2000"), ("active", None)])
def test_threads_spin_briefly_unless_the_user_says_how(
    monkeypatch: pytest.MonkeyPatch, policy: str | None, spins: str | None
) -> None:
    monkeypatch.setattr(load.os, "environ", {"OMP_WAIT_POLICY": policy} if policy else {})
    load._share_cores()
    assert load.os.environ.get("GOMP_SPINCOUNT") == spins
