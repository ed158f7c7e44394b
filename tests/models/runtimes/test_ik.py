"""What is ik_llama.cpp's own: its version, its agreement with llama.cpp, gaps in its cache, and its broken twins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.models import kernels, libraries, load
from speculatoviz.models.base import Feed, LanguageModel, Message
from speculatoviz.models.files.download import silent
from speculatoviz.models.load import Loading, load_model, load_tokenizer
from speculatoviz.models.requantise import FILE_TYPES, requantise
from speculatoviz.models.runtimes import ik, ik_api
from speculatoviz.models.runtimes.ik import TITLE, IkModel
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile
from support import conformance, conformance_trees, passes
from support.conformance import Check
from support.passes import opened, rows_of
from support.questions import questions
from support.runtimes import RUNTIMES, needs_ik
from support.tiny_gguf import Vocabulary, write_tiny

CELLS = 256
NOISE = RUNTIMES["ik"].noise


# --- the library --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ik:some/model.gguf", "ik:smollm2-135m-instruct"])
def test_a_missing_library_is_refused_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    monkeypatch.setattr(load, "locate", lambda *_: pytest.fail("it looked for the file"))
    for ask in (
        lambda: load_model(name, Loading(64, tmp_path), None, silent),
        lambda: load_tokenizer(name, HOW, silent),
    ):
        with pytest.raises(ModelError, match="is not installed") as refusal:
            ask()
        assert "pip install 'speculatoviz[ik]'" in refusal.value.hint


HOW = Loading(context_tokens=128, cache_dir=Path("nowhere"))


def loaded_anew() -> ik_api.IkLibrary:
    return ik_api.library.__wrapped__()


def test_another_version_is_refused_with_the_one_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ik_api, "version", lambda _: "0.2.0")
    with pytest.raises(ModelError, match=r"0\.2\.0 is installed") as refusal:
        loaded_anew()
    assert f"pip install {ik_api.PACKAGE}=={ik_api.VERSION}" in refusal.value.hint


def test_a_package_that_is_not_there_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(ik_api, "version", missing)
    with pytest.raises(ImportError, match=ik_api.PACKAGE):
        loaded_anew()


@needs_ik
@pytest.mark.parametrize("field", ["n_batch", "flash_attn", "defrag_thold"])
def test_a_library_with_other_structures_is_refused(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    honest = ik_api.import_module("ik_llama_cpp._ctypes_api")

    def shifted() -> Any:
        params = honest.llama_context_default_params()
        setattr(params, field, 0)
        return params

    package = SimpleNamespace(**vars(honest) | {"llama_context_default_params": shifted})
    monkeypatch.setattr(ik_api, "import_module", lambda _: package)
    with pytest.raises(ModelError, match="other structures"):
        loaded_anew()


@needs_ik
def test_a_library_that_lacks_a_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ik_api._CALLS, "llama_get_logits", ("llama_no_such_call", [], None))
    with pytest.raises(ModelError, match="llama_no_such_call"):
        loaded_anew()


# --- against llama.cpp --------------------------------------------------------------------------------

# Total variation between their distributions of the next token, on average and at most, along 160 tokens. It is what
# llama.cpp itself differs by from batch to batch there: 0.0008, 0.03, 0.03 and 0.01 on average.
AGREEMENT = {"F32": (0.001, 0.005), "Q4_1": (0.05, 0.2), "Q4_0": (0.06, 0.25), "Q4_K_M": (0.03, 0.1)}


def text_ids(model: LanguageModel, count: int) -> list[int]:
    ids = model.tokenizer.encode("\n\n".join(questions(20)), special=False)
    assert len(ids) >= count
    return ids[:count]


def rows(model: LanguageModel, ids: Sequence[int], size: int) -> Floats:
    """The logits after every token, `size` tokens a pass."""
    with opened(model, size=CELLS) as [context]:
        return np.concatenate([rows_of(model, context, ids[at : at + size]) for at in range(0, len(ids), size)])


def softmax(logits: Floats) -> Floats:
    raised: Floats = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def total_variation(a: Floats, b: Floats) -> Floats:
    distances: Floats = np.abs(softmax(a) - softmax(b)).sum(axis=-1) / 2
    return distances


def assert_agree(path: Path, quantisation: str, size: int = 64, tokens: int = 160) -> None:
    reference, model = LlamaCppModel(path, CELLS), IkModel(path, CELLS)
    try:
        ids = text_ids(reference, tokens)
        distances = total_variation(rows(model, ids, size), rows(reference, ids, 64))
        print(f"\n{path.name}, passes of {size}: mean {distances.mean():.4f}, at most {distances.max():.4f}")
        mean, most = AGREEMENT[quantisation]
        assert distances.mean() <= mean
        assert distances.max() <= most
    finally:
        reference.close()
        model.close()


@needs_ik
@pytest.mark.smol
@pytest.mark.parametrize("size", [64, 1])
@pytest.mark.parametrize("quantisation", ["F32", "Q4_1", "Q4_0"])
def test_smol_has_the_logits_of_llamacpp(smol_path: Path, cache_dir: Path, quantisation: str, size: int) -> None:
    assert_agree(requantise(smol_path, quantisation, cache_dir, 2), quantisation, size)


@needs_ik
@pytest.mark.qwen
@pytest.mark.parametrize("size", [64, 1])
def test_qwen_has_the_logits_of_llamacpp(qwen_paths: tuple[Path, Path], size: int) -> None:
    assert_agree(qwen_paths[1], "Q4_K_M", size, tokens=64)


SMALL_BLOCKS = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")


def assert_rows_agree(folder: Path, quantisation: str, hidden: int) -> None:
    """Of matrices with rows of `hidden` elements, one of which cannot be rearranged.

    Activations are rounded to 8 bits, and are all large: sums of products that do not fit their integers would show.
    """
    embeddings = 1 + 0.2 * np.random.default_rng(1).standard_normal((269, hidden)).astype(np.float32)
    source = write_tiny(folder / "tiny.gguf", hidden=hidden, tensors={"token_embd.weight": embeddings})
    path = requantise(source, quantisation, folder, 1)
    reference, model = LlamaCppModel(path, CELLS), IkModel(path, CELLS)
    try:
        ids = [int(token) for token in np.random.default_rng(0).integers(3, model.tokenizer.n_vocab, 96)]
        right = rows(reference, ids, 32)
        for size in (1, 2, 8, 64):
            assert total_variation(rows(model, ids, size), right).mean() < 0.03
    finally:
        reference.close()
        model.close()


@needs_ik
@pytest.mark.parametrize(
    ("quantisation", "hidden"), [*((name, 256) for name in FILE_TYPES), *((name, 192) for name in SMALL_BLOCKS)]
)
def test_every_quantisation_has_the_logits_of_llamacpp(tmp_path: Path, quantisation: str, hidden: int) -> None:
    assert_rows_agree(tmp_path, quantisation, hidden)


@needs_ik
@pytest.mark.parametrize("quantisation", ["Q4_1", "Q5_1"])
def test_more_rows_at_once_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantisation: str) -> None:
    """The broken twin: kernels for 32 rows and more lose the end of rows that are no multiple of 128 long."""
    monkeypatch.setitem(kernels.DEFAULT, "ik", kernels.Kernels(most=64))
    with pytest.raises(AssertionError):
        assert_rows_agree(tmp_path, quantisation, 192)


def assert_read_alike(path: Path, texts: Sequence[str]) -> None:
    other, own = VocabularyFile(path), VocabularyFile(path, ik_api.library(), TITLE)
    assert own.fingerprint == other.fingerprint
    assert (own.n_vocab, own.eos_ids, own.beginning) == (other.n_vocab, other.eos_ids, other.beginning)
    assert own.metadata("general.name") == other.metadata("general.name")
    for text in texts:
        for special in (True, False):
            assert own.encode(text, special=special) == other.encode(text, special=special)
    for token in range(0, own.n_vocab, 7):
        assert own.token_bytes(token) == other.token_bytes(token)
        assert own.token_name(token) == other.token_name(token)


@needs_ik
@pytest.mark.parametrize("kind", ["spm", "bpe"])
@pytest.mark.parametrize("begins", [True, False])
def test_both_libraries_read_a_vocabulary_alike(tmp_path: Path, kind: Vocabulary, begins: bool) -> None:
    fields = {"tokenizer.ggml.add_bos_token": begins, "tokenizer.ggml.bos_token_id": 1}
    path = write_tiny(tmp_path / "tiny.gguf", kind, fields=fields)
    assert_read_alike(path, ["the abc</s>", " <s>the  a", "<|end|>th\n\ta"])


@needs_ik
@pytest.mark.smol
def test_both_libraries_read_real_texts_alike(smol_path: Path) -> None:
    messages: list[Message] = [{"role": "user", "content": "Hi"}]
    chats = {VocabularyFile(smol_path, *lib).render_chat(messages) for lib in ((), (ik_api.library(), TITLE))}
    assert len(chats) == 1
    assert_read_alike(smol_path, [conformance.SPLIT, *chats, "12345 + 6\n\n\t<|im_end|>", *questions(5)])


@needs_ik
@pytest.mark.smol
def test_without_llamacpp_its_own_calls_read_the_vocabulary(smol_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ik, "find_spec", lambda _: None)
    tokenizer = ik.read_vocabulary(smol_path)
    assert tokenizer._lib is ik_api.library()
    ids = tokenizer.encode(conformance.SPLIT, special=False)
    assert b"".join(tokenizer.token_bytes(token) for token in ids).decode() == conformance.SPLIT


# --- the cache ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smol_f32(smol_f32_path: Path) -> Iterator[IkModel]:
    model = IkModel(smol_f32_path, CELLS)
    yield model
    model.close()


def fill_gaps(model: LanguageModel) -> None:
    """Fill the cache with two contexts, two cells of each in turn, free one of them, and feed it eight tokens."""
    half = CELLS // 2
    ids = text_ids(model, half)
    right = rows(model, ids, 2)
    with opened(model, 2, half) as [kept, dropped]:
        for at in range(0, half, 2):
            for context in (kept, dropped):
                model.forward([Feed(context, ids[at : at + 2])])
        dropped.keep(0)
        kept.keep(half - 8)
        passes.assert_close(rows_of(model, dropped, ids[:8]), right[:8], NOISE)
        passes.assert_close(rows_of(model, kept, ids[-8:]), right[-8:], NOISE)


@needs_ik
@pytest.mark.smol
def test_gaps_in_the_cache_are_closed(smol_f32: IkModel) -> None:
    fill_gaps(smol_f32)


@needs_ik
@pytest.mark.smol
def test_gaps_that_stay_open_are_caught(smol_f32: IkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smol_f32, "_close_gaps", lambda: True)
    with pytest.raises(AssertionError):
        fill_gaps(smol_f32)


@needs_ik
@pytest.mark.smol
def test_a_pass_over_a_cache_with_gaps_is_refused_and_changes_nothing(
    smol_f32: IkModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = passes.ids_of(smol_f32)
    with opened(smol_f32) as [context]:
        right = rows_of(smol_f32, context, ids)
        context.keep(4)
        with monkeypatch.context() as patch:
            patch.setattr(smol_f32, "_close_gaps", lambda: False)
            with pytest.raises(ModelError, match="refused a pass over 2 tokens"):
                rows_of(smol_f32, context, ids[:2], parents=[-1, -1])
        assert (context.length, context.tree) == (4, None)
        passes.assert_close(rows_of(smol_f32, context, ids[4:]), right[4:], NOISE)


class Unwound(IkModel):
    """Counts tokens back and leaves their cells."""

    def remove_cells(self, sequence: int, start: int) -> bool:
        return start > 0 or super().remove_cells(sequence, start)


class Rootless(IkModel):
    """Gives the leaves of a tree no context."""

    def share_cells(self, source: int, target: int, start: int, end: int) -> None:
        if start > 0:
            super().share_cells(source, target, start, end)


@needs_ik
@pytest.mark.smol
@pytest.mark.parametrize(
    ("twin", "caught_by"),
    [
        (Unwound, conformance.rewinding_leaves_no_trace),
        (Rootless, conformance_trees.a_tree_gives_the_rows_of_its_chains),
    ],
    ids=lambda value: value.__name__,
)
def test_a_broken_twin_is_caught(smol_path: Path, twin: type[IkModel], caught_by: Check) -> None:
    model = twin(smol_path, CELLS)
    try:
        with pytest.raises(AssertionError, match="differs by"):
            caught_by(model, 0.0)
    finally:
        model.close()
