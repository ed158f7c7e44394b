"""How often versions of a draft are accepted: the formula, and figures that are measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import Sampling
from speculatoviz.errors import ModelError
from speculatoviz.measure import agreement
from speculatoviz.measure.agreement import File, acceptance, mean_overlap
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.files.trim import trim
from support.runtimes import of_gguf
from support.tiny_gguf import write_tiny
from support.wide_vocabulary import write_wide

RNG = np.random.default_rng(5)


def test_the_overlap_is_the_probability_that_a_drawn_token_is_accepted() -> None:
    p, q = (3 * RNG.standard_normal((4, 9)) for _ in range(2))
    sampling = Sampling(1.0)
    expected = [distribution(a, sampling).overlap(support(b, sampling, 9), 1.0) for a, b in zip(p, q, strict=True)]
    assert mean_overlap(p, q) == pytest.approx(np.mean(expected), abs=1e-12)
    assert mean_overlap(p, p) == pytest.approx(1.0)


def test_a_token_that_a_draft_lacks_is_never_accepted() -> None:
    p = np.log(np.array([[0.5, 0.3, 0.2]]))
    without_the_first = np.array([[-np.inf, 0.0, 0.0]])  # q = (0, 1/2, 1/2)
    assert mean_overlap(p, without_the_first) == pytest.approx(0.3 + 0.2)


@of_gguf
def test_versions_are_measured_once(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    honest = agreement.run_child
    monkeypatch.setattr(
        agreement, "run_child", lambda *args, **more: (started.append(args[1]), honest(*args, **more))[1]
    )
    target = write_wide(tmp_path / "target.gguf", seed=1)
    other = write_wide(tmp_path / "other.gguf", seed=2)
    trimmed = trim(target, 320, tmp_path)
    drafts = [File(target, runtime), File(other, runtime), File(trimmed, runtime, target)]

    same, different, smaller = acceptance(File(target, runtime), drafts, 1, tmp_path)
    assert same == pytest.approx(1.0)
    assert 0.0 < different < 0.9
    assert 0.1 < smaller < 0.99
    assert acceptance(File(target, runtime), drafts[::-1], 1, tmp_path) == [smaller, different, same]
    assert len(started) == 1

    write_wide(other, seed=3)
    assert acceptance(File(target, runtime), drafts, 1, tmp_path)[1] != different
    assert len(started) == 2
    assert "other" in started[1]
    assert started[1].count(str(target)) == 1, "as the target: its own figure is known"


def test_what_cannot_be_compared_is_refused_in_words(tmp_path: Path) -> None:
    few = write_tiny(tmp_path / "few.gguf", "bpe")
    many = write_wide(tmp_path / "many.gguf", seed=1)
    with pytest.raises(ModelError, match="lacks tokens of the target"):
        acceptance(File(many, "llamacpp"), [File(few, "llamacpp")], 1, tmp_path)
    letters = write_tiny(tmp_path / "letters.gguf", "spm", fields={"tokenizer.ggml.tokens": ["a"] * 269})
    with pytest.raises(ModelError, match="could not be compared: the process that tried ended with"):
        acceptance(File(letters, "llamacpp"), [File(few, "llamacpp")], 1, tmp_path)
