"""Prefixes on disk: a later process continues from them, and refuses in words what is damaged or not its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.models.prefix_cache import Prefix, PrefixCache
from speculatoviz.models.prefix_files import PrefixFiles, StorableModel
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.window import Window
from support.runtimes import of_gguf, open_gguf

SIZE, BUDGET = 512, 700
DOCUMENT, OTHER = [0, 1, 2, 0, 2, 1] * 25, [2, 2, 1, 0, 1] * 30
PIECES = [b"a", b"b", b"c"]


def never() -> bool:
    return False


def opened(folder: Path, model: ToyModel | None = None, tokens: int = BUDGET) -> Window:
    """The window of a new process."""
    model = model or ToyModel(3, PIECES)
    return Window(model, SIZE, PrefixCache(tokens, PrefixFiles(folder, model.snapshot_key())))


def fill(folder: Path, *prompts: Sequence[int], recorded: bool = False, tokens: int = BUDGET) -> None:
    window = opened(folder, tokens=tokens)
    window.read_layers((2, 4))
    window.record(recorded, recorded)
    for ids in prompts:
        window.prefill(ids, never)
    window.close()


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


@pytest.mark.parametrize("recorded", [False, True])
def test_another_process_continues_from_what_was_held_bit_for_bit(tmp_path: Path, recorded: bool) -> None:
    fill(tmp_path, DOCUMENT, OTHER, recorded=recorded)
    window, model = opened(tmp_path), ToyModel(3, PIECES)
    window.read_layers((2, 4))
    window.record(recorded, recorded)
    for ids in ([*DOCUMENT, 1], [*OTHER, 2]):
        assert window.align(ids) == ids[-1:]
        assert np.array_equal(window.feed(ids[-1:])[0], model.logits(ids))
        for place, state in enumerate(window.states):
            assert np.array_equal(state, model.logits(ids[: place + 1]))
        assert len(window.layer_inputs) == (len(ids) if recorded else 0)
        for place, inputs in enumerate(window.layer_inputs):
            assert np.array_equal(inputs, model.layer_inputs((2, 4), ids[: place + 1]))


def test_inputs_of_other_layers_are_not_taken_over(tmp_path: Path) -> None:
    """A process that reads other layers computes the prompt again; one that reads none takes it over."""
    fill(tmp_path, DOCUMENT, recorded=True)
    window = opened(tmp_path)
    window.read_layers((3, 4))
    window.record(hidden=False, layers=True)
    assert window.align([*DOCUMENT, 1]) == [*DOCUMENT, 1]
    window.record(hidden=False)
    assert window.align([*DOCUMENT, 1]) == [1]


def test_the_snapshot_of_other_ids_would_show(tmp_path: Path) -> None:
    """The broken twin: a file under whose ids another prefix was stored."""
    fill(tmp_path, DOCUMENT)
    [path] = files(tmp_path)
    with np.load(path) as archive:
        parts = dict(archive)
    with path.open("wb") as file:
        np.savez(file, **parts | {"ids": np.array(OTHER)})
    window = opened(tmp_path)
    window.align([*OTHER, 2])
    assert not np.array_equal(window.feed([2])[0], ToyModel(3, PIECES).logits([*OTHER, 2]))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.9, 0.999])
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, place: float, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, DOCUMENT)
    [path] = files(tmp_path)
    raw = bytearray(path.read_bytes())
    start = int(place * len(raw))
    raw[start : start + 40] = bytes(byte ^ 0x5A for byte in raw[start : start + 40])
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING):
        window = opened(tmp_path)
    assert "is damaged and is not used" in caplog.text
    assert window.align(DOCUMENT) == DOCUMENT


def test_a_file_that_ends_early_is_refused_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, DOCUMENT)
    [path] = files(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with caplog.at_level(logging.WARNING):
        window = opened(tmp_path)
    assert "is damaged and is not used" in caplog.text
    assert window.align(DOCUMENT) == DOCUMENT


def test_a_file_of_another_model_is_refused_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, DOCUMENT)
    [path] = files(tmp_path)
    stranger = ToyModel(4, PIECES)
    folder = PrefixFiles(tmp_path, stranger.snapshot_key()).folder
    assert opened(tmp_path, stranger).align(DOCUMENT) == DOCUMENT, "it has a folder of its own"
    folder.mkdir()
    path.rename(folder / path.name)
    with caplog.at_level(logging.WARNING):
        window = opened(tmp_path, stranger)
    assert "another model or another version" in caplog.text
    assert window.align(DOCUMENT) == DOCUMENT


def test_a_folder_that_cannot_be_written_is_no_end_of_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        fill(tmp_path / "file", DOCUMENT)
    assert "could not be written" in caplog.text
    assert "Choose another folder" in caplog.text


def test_the_folder_stays_within_the_budget_and_loses_the_oldest(tmp_path: Path) -> None:
    prompts = [[place, *DOCUMENT] for place in (0, 1, 2)]
    fill(tmp_path, prompts[0])
    fill(tmp_path, prompts[1])
    assert len(files(tmp_path)) == 2
    fill(tmp_path, prompts[2], tokens=2 * len(prompts[0]))
    window = opened(tmp_path)
    assert window.prefixes is not None
    assert [list(prefix.ids) for prefix in window.prefixes.prefixes] == prompts[1:]


def test_a_longer_prompt_replaces_its_beginning(tmp_path: Path) -> None:
    fill(tmp_path, DOCUMENT)
    fill(tmp_path, [*DOCUMENT, *OTHER])
    assert [path.name.partition("-")[0] for path in files(tmp_path)] == [str(len(DOCUMENT) + len(OTHER))]


def test_what_was_read_is_not_written_again(tmp_path: Path) -> None:
    fill(tmp_path, DOCUMENT)
    [path] = files(tmp_path)
    before = path.stat().st_ino
    fill(tmp_path, DOCUMENT)
    assert [file.stat().st_ino for file in files(tmp_path)] == [before]


@pytest.mark.smol
@of_gguf
def test_a_real_prefix_outlives_its_model(
    runtime: str, smol_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[np.ndarray] = []
    for reused in (False, True):
        model = open_gguf(runtime, smol_path, SIZE)
        assert isinstance(model, StorableModel)
        ids = model.tokenizer.encode("the quick brown fox " * 30, special=False)
        window = Window(model, SIZE, PrefixCache(SIZE, PrefixFiles(tmp_path, model.snapshot_key())))
        window.prefill(ids, never)
        assert (window.reused > 0) == reused
        rows.append(window.feed(ids[:1])[0].copy())
        window.close()
        model.close()
    assert np.abs(rows[0] - rows[1]).max() < 0.05 * np.abs(rows[0]).max()
    [path] = files(tmp_path)
    with np.load(path) as archive:
        parts = dict(archive)
    with path.open("wb") as file:
        np.savez(file, **parts | {"snapshot": parts["snapshot"][:100]})
    model = open_gguf(runtime, smol_path, SIZE)
    window = Window(model, SIZE, PrefixCache(SIZE, PrefixFiles(tmp_path, model.snapshot_key())))
    ids = ids[:-1]
    assert window.align(ids) == ids, "half a snapshot is refused"
    window.catch_up(ids, never)
    window.close()
    model.close()
    assert not caplog.records


def test_prefixes_of_one_name_are_equal() -> None:
    prefix = Prefix((1, 2), np.zeros(4, np.uint8), np.empty((0, 0), np.float32))
    store = PrefixFiles(Path("folder"), "key")
    assert store._path(prefix) == PrefixFiles(Path("folder"), "key")._path(prefix)
    assert store._path(prefix) != store._path(Prefix((1, 3), prefix.snapshot, prefix.states))
