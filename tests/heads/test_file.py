"""A file of heads is read whole or refused in words."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from speculatoviz.errors import HeadError
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.file import HeadFile, load, read, save
from speculatoviz.heads.medusa import MedusaHeads
from support.tiny_heads import HIDDEN, VOCABULARY, TinyRows, eagle_file, medusa_file

FITS: dict[str, Any] = {"kind": "eagle", "fingerprint": "f" * 16, "hidden_size": HIDDEN, "n_vocab": 5}


def refused(path: Path, **changes: object) -> HeadError:
    with pytest.raises(HeadError) as caught:
        load(path, **(FITS | changes))
    assert caught.value.hint, "what to do is said too"
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(eagle_file(), tmp_path / "head.safetensors")
    return tmp_path / "head.safetensors"


def test_what_was_saved_is_read_again(path: Path) -> None:
    head, saved = load(path, **FITS), eagle_file()

    assert (head.kind, head.target, head.numbers, head.card) == ("eagle", "toy", saved.numbers, {"tokens": 12})
    assert head.vocabulary.tolist() == VOCABULARY.tolist()
    assert head.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert head.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(head.tensors[name], tensor)
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing else is left beside it"


def test_weights_are_stored_in_two_bytes_a_number(path: Path) -> None:
    numbers = sum(tensor.size for tensor in eagle_file().tensors.values())
    assert 2 * numbers < path.stat().st_size < 2 * numbers + 4096


def test_heads_of_another_kind_are_refused(path: Path) -> None:
    error = refused(path, kind="medusa")
    assert "holds eagle heads, not medusa heads" in error.message
    assert error.hint == "Name a file of medusa heads, or train eagle."


def test_heads_of_another_target_are_refused(path: Path) -> None:
    assert "vocabulary" in refused(path, fingerprint="0" * 16).message
    assert f"{HIDDEN} numbers; the target's have 16" in refused(path, hidden_size=16).message
    assert "ids that the target does not have" in refused(path, n_vocab=4).message


@pytest.mark.parametrize("content", [b"", b"not a head", pickle.dumps({"a": 1}), b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert "safetensors" in refused(tmp_path / "x").hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "none.safetensors" in refused(tmp_path / "none.safetensors").message


def test_safetensors_that_are_no_head_are_refused(tmp_path: Path) -> None:
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "plain")
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "numbers", {"speculatoviz": json.dumps([1])})
    for name in ("plain", "numbers"):
        refused(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [{"hidden_size": float("inf")}, {"hidden_size": None}, {"numbers": 3}, {"card": [1]}, {"kind": ["eagle"]}],
    ids=str,
)
def test_a_description_of_other_types_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    head = eagle_file()
    described = {"kind": "eagle", "target": "toy", "fingerprint": "f" * 16, "hidden_size": HIDDEN, "numbers": {}}
    tensors = {**head.tensors, "vocabulary": head.vocabulary}
    metadata = {"speculatoviz": json.dumps({**described, "card": {}, **change})}
    save_file(dict(tensors), tmp_path / "odd", metadata)
    refused(tmp_path / "odd")


def test_a_description_without_end_is_refused(tmp_path: Path) -> None:
    save_file({"vocabulary": VOCABULARY}, tmp_path / "deep", {"speculatoviz": "[" * 100_000})
    refused(tmp_path / "deep")


def written(tmp_path: Path, head: HeadFile) -> Path:
    save(head, tmp_path / "odd.safetensors")
    return tmp_path / "odd.safetensors"


@pytest.mark.parametrize(
    "vocabulary",
    [
        np.array([], np.int32),
        np.array([1, 0], np.int32),
        np.array([1, 1], np.int32),
        np.array([-1, 1], np.int32),
        np.array([0.0, 1.0], np.float32),
        np.array([[0, 1]], np.int32),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, vocabulary: Any) -> None:
    with pytest.raises(HeadError, match="ascending ids"):
        read(written(tmp_path, eagle_file(vocabulary=vocabulary)))


def test_a_kind_that_is_not_known_and_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="'hydra'"):
        read(written(tmp_path, eagle_file(kind="hydra")))
    with pytest.raises(HeadError, match="not finite"):
        read(written(tmp_path, eagle_file(tensors={"fc": np.full((2, 2), np.nan, np.float32)})))


def without(head: HeadFile, name: str) -> dict[str, Any]:
    return {key: tensor for key, tensor in head.tensors.items() if key != name}


@pytest.mark.parametrize("file", [eagle_file, medusa_file])
def test_tensors_and_numbers_have_to_fit_the_kind(file: Any) -> None:
    head = file()
    build = EagleHead if head.kind == "eagle" else MedusaHeads
    some = next(iter(head.tensors))
    wrong = {
        "missing": {"tensors": without(head, some)},
        "shape": {"tensors": {**head.tensors, some: np.zeros((1, 2), np.float32)}},
        "more": {"tensors": {**head.tensors, "more": np.zeros(1, np.float32)}},
        "heads": {"numbers": {**head.numbers, "heads": 0}},
        "'two'": {"numbers": {**head.numbers, "heads": "two"}},
        "None": {"numbers": {}},
    }
    for word, change in wrong.items():
        with pytest.raises(HeadError, match=word):
            build(file(**change), TinyRows())
