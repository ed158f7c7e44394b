"""Hidden states and inputs of inner layers in ik_llama.cpp: they are llama.cpp's, and change no logit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.models.base import Feed, LanguageModel
from speculatoviz.models.runtimes.ik import IkModel
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from support.passes import opened
from support.runtimes import needs_ik
from support.tiny_gguf import HIDDEN, write_tiny

pytestmark = needs_ik
LAYERS = 4
IDS = [5, 9, 20, 33, 7]
NOISE = 2e-3  # of the size of a row: keys and values are in half precision


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", layers=LAYERS)


@pytest.fixture
def watched(path: Path) -> Iterator[IkModel]:
    with closing(IkModel(path, 64, watched=True)) as model:
        yield model


def read(model: LanguageModel, layers: tuple[int, ...], size: int) -> tuple[Floats, Floats, Floats]:
    """Logits, hidden states and inputs of layers after every token, `size` tokens a pass."""
    with opened(model, size=16) as [context]:
        rows = []
        for at in range(0, len(IDS), size):
            row = model.forward([Feed(context, IDS[at : at + size], hidden=True, layers=layers)])[0]
            assert row.hidden is not None
            assert row.layers is not None
            rows.append((row.logits.copy(), row.hidden.copy(), row.layers.copy()))
    logits, hidden, inner = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return logits, hidden, inner


def difference(got: Floats, expected: Floats) -> float:
    assert got.shape == expected.shape
    return float((np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


@pytest.mark.parametrize("size", [1, 2, 5])
def test_they_are_those_of_llamacpp(path: Path, watched: IkModel, size: int) -> None:
    with closing(LlamaCppModel(path, 64, layers=True)) as reference:
        _, hidden, inner = read(reference, (1, 2), 5)
        _, own_hidden, own_inner = read(watched, (1, 2), size)
        _, _, swapped = read(watched, (2, 1), size)
    assert inner.shape == (len(IDS), 2 * HIDDEN)
    assert difference(own_hidden, hidden) < NOISE
    assert difference(own_inner, inner) < NOISE
    assert difference(swapped, inner) > 10 * NOISE, "another layer would not be noticed"
    assert difference(own_inner[:, HIDDEN:], hidden) > 10 * NOISE


@pytest.mark.parametrize("layers", [(), (1,)], ids=["states alone", "with a layer"])
def test_a_pass_over_several_graphs_gives_all_rows(watched: IkModel, layers: tuple[int, ...]) -> None:
    """States alone are read after a pass; of a pass that takes several graphs that would give the last one's only."""
    ids = np.random.default_rng(0).integers(3, 200, watched.kernels.most + 9).tolist()
    with opened(watched, size=len(ids)) as [context]:
        at_once = watched.forward([Feed(context, ids, hidden=True, layers=layers)])[0].hidden
        assert at_once is not None
        at_once = at_once.copy()
        context.keep(0)
        single = [watched.forward([Feed(context, [token], hidden=True, layers=layers)])[0].hidden for token in ids]
    assert difference(at_once, np.concatenate([row for row in single if row is not None])) < NOISE


def test_a_sibling_has_its_own(watched: IkModel) -> None:
    expected = read(watched, (1,), 5)
    with closing(watched.sibling(64)) as sibling:
        for got, right in zip(read(sibling, (1,), 5), expected, strict=True):
            assert np.array_equal(got, right)


def test_only_what_a_pass_asks_for_is_given(watched: IkModel) -> None:
    with opened(watched, 2, 16) as [first, second]:
        feeds = [Feed(first, IDS, hidden=True), Feed(second, IDS[:2], "last", layers=(1,))]
        rows = watched.forward(feeds)
        assert rows[0].hidden is not None
        assert (rows[0].hidden.shape, rows[0].layers) == ((len(IDS), HIDDEN), None)
        assert rows[1].layers is not None
        assert (rows[1].layers.shape, rows[1].hidden) == ((2, HIDDEN), None)
        rows = watched.forward([Feed(first, IDS[:1])])
        assert (rows[0].hidden, rows[0].layers) == (None, None)


def test_reading_changes_no_logit(path: Path, watched: IkModel) -> None:
    """Bit for bit: so neither does a text depend on who reads."""
    with closing(IkModel(path, 64)) as plain:
        expected = []
        with opened(plain, size=16) as [context]:
            expected = [plain.forward([Feed(context, IDS[at : at + 2])])[0].logits.copy() for at in range(0, 5, 2)]
    assert np.array_equal(read(watched, (1,), 2)[0], np.concatenate(expected))


@pytest.mark.parametrize("asked", [{"hidden": True}, {"layers": (1,)}])
def test_it_has_to_be_asked_for_when_the_model_is_opened(path: Path, asked: dict[str, object]) -> None:
    with ExitStack() as stack:
        model = stack.enter_context(closing(IkModel(path, 64)))
        [context] = stack.enter_context(opened(model, size=16))
        with pytest.raises(BadRequestError, match=r"ik_llama\.cpp cannot give"):
            model.forward([Feed(context, IDS, **asked)])  # type: ignore[arg-type]


def test_the_last_layer_is_no_inner_one(watched: IkModel) -> None:
    with pytest.raises(BadRequestError, match=f"no inner layer {LAYERS}"):
        read(watched, (LAYERS,), 5)


@pytest.mark.parametrize(
    ("asked", "words"), [({"hidden": True}, "hidden states"), ({"layers": (1,)}, "input of layer 1")]
)
def test_a_graph_without_these_names_is_reported(
    watched: IkModel, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], words: str
) -> None:
    tensors = watched._watched
    assert tensors is not None
    monkeypatch.setattr(tensors, "_functions", {**tensors._functions, "ggml_get_name": lambda _: b"node_7"})
    with opened(watched, size=16) as [context], pytest.raises(ModelError, match=f"gives no {words}"):
        watched.forward([Feed(context, IDS, **asked)])  # type: ignore[arg-type]
