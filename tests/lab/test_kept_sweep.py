"""A sweep in the store of runs: one entry for its folder, which says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError, UnknownRunError
from speculatoviz.lab.kept_sweep import keep_sweep
from speculatoviz.lab.store.runs import LAST, RunStore
from support.sweeps import MODEL, SUFFIX, folder_of, plain, run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore.open(str(tmp_path / "runs.db"))
    yield store
    store.close()


def test_a_sweep_is_one_entry_with_its_best_choice_and_its_folder(store: RunStore, tmp_path: Path) -> None:
    runs = [plain(), run(SUFFIX, 1.5), run(MODEL, 0.8), plain(prompt=1), run(SUFFIX, 2.0, prompt=1)]
    folder = folder_of(tmp_path / "sweep", [*runs, run(MODEL, 0.9, prompt=1)])
    identity = keep_sweep(store, folder)

    found = store.get(identity)
    assert found.summary.sweep is not None
    assert (found.summary.sweep.best, found.summary.sweep.prompts, found.summary.sweep.choices) == ("suffix, k 4", 2, 2)
    assert found.summary.sweep.folder == str((tmp_path / "sweep").resolve())
    assert found.summary.speedup == pytest.approx(3.0**0.5)
    assert (found.summary.tokens, found.summary.accepted, found.summary.drafted) == (16, 8, 16)
    assert (found.trace_bytes, list(store.trace(identity))) == (0, [found.header.model_dump_json().encode() + b"\n"])
    assert [entry.id for entry in store.page(containing="Sweep of 2").runs] == [identity]


def test_a_sweep_that_goes_on_keeps_its_entry_and_its_name(store: RunStore, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "sweep", [plain(), run(SUFFIX, 1.5)])
    identity = keep_sweep(store, folder)
    store.rename(identity, "mine")
    folder.append(run(MODEL, 3.0))

    assert keep_sweep(store, folder) == identity
    [entry] = store.page().runs
    assert entry.name == "mine"
    assert entry.summary.sweep is not None
    assert entry.summary.sweep.best == "model, k 2"


def test_plain_decoding_can_be_the_best_choice(store: RunStore, tmp_path: Path) -> None:
    identity = keep_sweep(store, folder_of(tmp_path / "sweep", [plain(), run(MODEL, 0.5)]))
    summary = store.get(identity).summary
    assert (summary.drafter, summary.k, summary.speedup) == ("none", 0, 1.0)


def test_the_last_run_is_no_sweep(store: RunStore, tmp_path: Path) -> None:
    keep_sweep(store, folder_of(tmp_path / "sweep", [plain(), run(MODEL, 0.5)]))
    with pytest.raises(UnknownRunError, match="holds no run"):
        store.get(LAST)


def test_a_folder_without_runs_is_refused(store: RunStore, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="holds no runs of a sweep"):
        keep_sweep(store, folder_of(tmp_path / "sweep", []))
