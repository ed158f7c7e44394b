"""The heads on ggml's kernels give what their formulas give in NumPy, with matrices of 8 bits up to a stated error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import ModelError
from speculatoviz.heads import eagle, medusa
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.file import HeadFile
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.models.runtimes import ggml
from speculatoviz.models.runtimes.ggml import Pass, Stored
from support import numpy_heads
from support.tiny_heads import TinyRows, eagle_file, medusa_file, state

WIDTH, DRAFTED = 64, 3
SINGLE = 1e-4  # of float32, relative to the standard deviation of the logits
EIGHT_BITS = 0.03  # likewise, of matrices in Q8_0, root mean square


class Rows:
    """Random rows of a target whose states have 64 numbers, so that matrices are quantised."""

    hidden_size = WIDTH

    def __init__(self) -> None:
        self._rows = np.random.default_rng(1).standard_normal((300, WIDTH)).astype(np.float32)

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        return self._rows[np.asarray(ids)]

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        return self._rows[::-1][np.asarray(ids)]


def file_of(kind: str, shapes: Mapping[str, tuple[int, ...]], numbers: dict[str, float]) -> HeadFile:
    rng = np.random.default_rng(4)
    tensors = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else _matrix(rng, shape) for name, shape in shapes.items()
    }
    ids = np.arange(0, 300, 2, dtype=np.int32)
    return HeadFile(kind, "toy", "f" * 16, WIDTH, ids, tensors, numbers)  # type: ignore[arg-type]


def _matrix(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))


EAGLE = file_of(
    "eagle", eagle.shapes(WIDTH, 4, 16, 160), {"heads": 4, "width": 16, "inner": 160, "window": 24, "theta": 1e4}
)
MEDUSA = file_of("medusa", medusa.shapes(WIDTH, 3, 2), {"heads": 3, "blocks": 2})


def error(found: Floats, expected: Floats) -> float:
    """Root mean square difference, by the standard deviation of the expected logits."""
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


def chain(file: HeadFile, rows: TinyRows | Rows, states: Floats, tokens: list[int]) -> Floats:
    cache = EagleHead(file, rows, threads=2).open()
    count = len(states)
    logits, own = cache.append(states, tokens[: count + 1], last=True)
    found = [logits[0]]
    for node, token in enumerate(tokens[count + 1 : count + DRAFTED]):
        logits, own = cache.grow(own, [token], [node - 1])
        found.append(logits[0])
    return np.array(found)


def test_eagle_s_head_is_its_formulas() -> None:
    tokens = [0, 1, 3, 4, 2, 1, 0, 3, 3, 1, 4]
    states = np.array([state(tokens[: end + 1]) for end in range(len(tokens) - DRAFTED)], np.float32)
    file, rows = eagle_file(), TinyRows()
    expected = numpy_heads.eagle_logits(file, rows, states, tokens, DRAFTED)
    assert error(chain(file, rows, states, tokens), expected) < SINGLE
    assert error(chain(file, rows, np.roll(states, 1, axis=0), tokens), expected) > 100 * SINGLE


def test_eagle_s_head_in_8_bits_is_nearly_its_formulas() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, 300, 40 + DRAFTED).tolist()
    states = rng.standard_normal((40, WIDTH)).astype(np.float32)
    expected = numpy_heads.eagle_logits(EAGLE, Rows(), states, tokens, DRAFTED)
    found = chain(EAGLE, Rows(), states, tokens)
    assert SINGLE < error(found, expected) < EIGHT_BITS
    broken = HeadFile(**{**fields(EAGLE), "tensors": {**EAGLE.tensors, "o": EAGLE.tensors["o"].T}})
    assert error(chain(broken, Rows(), states, tokens), expected) > 2 * EIGHT_BITS, "a matrix that is transposed"


def test_medusa_s_heads_are_their_formulas() -> None:
    for file, rows, x, most in (
        (medusa_file(), TinyRows(), state([1, 2]), SINGLE),
        (MEDUSA, Rows(), np.random.default_rng(3).standard_normal(WIDTH).astype(np.float32), EIGHT_BITS),
    ):
        expected = numpy_heads.medusa_logits(file, rows, x)
        heads = MedusaHeads(file, rows, threads=2)
        assert error(heads.logits(x, heads.count), expected) < most
        assert error(heads.logits(x[::-1].copy(), heads.count), expected) > 2 * most


def test_heads_of_the_largest_shape_are_computed() -> None:
    """ggml ends the process when a graph has more operations, or more numbers, than was said before."""
    file = file_of("medusa", medusa.shapes(WIDTH, 64, 16), {"heads": 64, "blocks": 16})
    assert np.isfinite(MedusaHeads(file, Rows()).logits(np.ones(WIDTH, np.float32), 64)).all()

    head, rng = EagleHead(EAGLE, Rows()), np.random.default_rng(5)
    cache, tokens = head.open(), rng.integers(0, 300, 65).tolist()
    logits, own = cache.append(rng.standard_normal((64, WIDTH)).astype(np.float32), tokens, last=True)
    logits, _ = cache.grow(np.repeat(own, 64, axis=0), tokens[:64], [-1] * 64)
    assert np.isfinite(logits).all()
    assert logits.shape == (64, len(EAGLE.vocabulary))


def test_memory_of_weights_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    library, freed = ggml.kernels(), []
    monkeypatch.setattr(ggml, "kernels", lambda: Counting(library, freed))
    stored = Stored({"a": np.ones((2, 3), np.float32)}, small=True)
    with Pass(100, 1) as graph:
        found = graph.compute(graph.linear(graph.floats(np.ones((1, 3), np.float32)), stored["a"]))[0]
    assert found.tolist() == [[3.0, 3.0]]
    assert len(freed) == 1
    del stored
    assert len(freed) == 2


class Counting:
    """The library, and what it has freed."""

    def __init__(self, library: object, freed: list[int]) -> None:
        self._library, self._freed = library, freed

    def ggml_free(self, context: int) -> None:
        self._freed.append(context)
        self._library.ggml_free(context)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._library, name)


def test_a_library_without_these_functions_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ggml, "_FUNCTIONS", {**ggml._FUNCTIONS, "ggml_not_there": (None, [])})
    ggml.kernels.cache_clear()
    try:
        with pytest.raises(ModelError, match="ggml_not_there") as refused:
            ggml.kernels()
        assert "speculatoviz[llamacpp]" in refused.value.hint
    finally:
        ggml.kernels.cache_clear()


def fields(file: HeadFile) -> dict[str, object]:
    return {name: getattr(file, name) for name in HeadFile.__dataclass_fields__}
