"""What a model may be named by, and what is said of a name that stands for nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from speculatoviz.config import PROFILES
from speculatoviz.errors import ModelError
from speculatoviz.models.files import catalogue
from speculatoviz.models.files.catalogue import CATALOGUE, CatalogueEntry, lookup, provenance, resolve
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.wheels import Wheels
from support.tiny_gguf import write_tiny

if TYPE_CHECKING:
    from tests.models.conftest import FakeHub, Workshop


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "some.gguf")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub library reads its environment once, when it is imported, and keeps the answer here."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_the_profiles_name_models_of_the_catalogue() -> None:
    named = {name for profile in PROFILES.values() for name in (profile.target, profile.draft) if name}
    assert named == set(CATALOGUE)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=str)
def test_an_entry_is_complete(entry: CatalogueEntry) -> None:
    assert CATALOGUE[entry.name] is entry
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert entry.file_name.endswith(".gguf")
    assert entry.quantisation.lower() in entry.file_name.lower()
    assert 4 < entry.size_bytes * 8 / entry.parameters < 8.5  # bits per weight
    for wheels in entry.sources:
        if isinstance(wheels, Wheels):
            assert all(re.fullmatch(r"[\w-]+==[\d.]+", requirement) for requirement in wheels.requirements)
            assert len(set(wheels.requirements)) == len(wheels.requirements)


def test_entries_do_not_share_a_file() -> None:
    assert len({entry.file_name for entry in CATALOGUE.values()}) == len(CATALOGUE)
    assert len({entry.sha256 for entry in CATALOGUE.values()}) == len(CATALOGUE)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    for ask in (lambda: lookup("gpt-9"), lambda: resolve("gpt-9", tmp_path)):
        with pytest.raises(ModelError, match="gpt-9") as refusal:
            ask()
        assert all(name in refusal.value.hint for name in CATALOGUE)


@pytest.mark.parametrize("name", ["", "llamacpp:", "mlx:some/model", ".", "x" * 5000 + ".gguf", "null\0byte.gguf"])
def test_names_that_stand_for_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError):
        resolve(name, tmp_path)


@pytest.mark.parametrize("scheme", ["", "llamacpp:", "ik:"])
def test_a_catalogue_name_is_fetched(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    tiny = workshop.download
    entry = replace(
        CATALOGUE["smollm2-135m-instruct"],
        name=tiny.name,
        file_name=tiny.file_name,
        size_bytes=tiny.size_bytes,
        sha256=tiny.sha256,
        sources=tiny.sources,
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", entry)

    path = resolve(f"{scheme}tiny", workshop.cache_dir)

    assert path == workshop.models / "tiny.gguf"
    assert path.read_bytes() == workshop.content


@pytest.mark.parametrize("scheme", ["", "llamacpp:", "ik:"])
def test_a_local_path(gguf: Path, tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(f"{scheme}{gguf}", tmp_path) == gguf
    monkeypatch.chdir(gguf.parent)
    assert resolve(f"{scheme}{gguf.name}", tmp_path) == gguf
    monkeypatch.setenv("HOME", str(gguf.parent))
    assert resolve(f"{scheme}~/{gguf.name}", tmp_path) == gguf


def test_after_the_scheme_a_path_may_end_in_anything(gguf: Path, tmp_path: Path) -> None:
    other = gguf.rename(tmp_path / "weights.bin")

    assert resolve(f"llamacpp:{other}", tmp_path) == other
    with pytest.raises(ModelError):
        resolve(str(other), tmp_path)


def test_a_folder_is_not_a_file(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder") as refusal:
        resolve(str(gguf.parent), tmp_path)
    assert str(gguf) in refusal.value.hint


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refusal:
        resolve(str(tmp_path / "missing.gguf"), tmp_path)
    assert str(tmp_path / "missing.gguf") in refusal.value.message


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>not found</html>")
    with pytest.raises(ModelError, match="not a GGUF file"):
        resolve(str(tmp_path / "page.gguf"), tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_hub_file_that_cannot_be_had_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="offline mode") as refusal:
        resolve("maker/Tiny-GGUF/sub/tiny.gguf@v1", tmp_path)
    assert "hub file maker/Tiny-GGUF/sub/tiny.gguf@v1" in refusal.value.message


def test_an_existing_path_goes_before_a_hub_file(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maker" / "Tiny-GGUF").mkdir(parents=True)
    local = gguf.rename(tmp_path / "maker" / "Tiny-GGUF" / "tiny.gguf")

    assert resolve("maker/Tiny-GGUF/tiny.gguf", tmp_path) == local


@pytest.mark.parametrize("scheme", ["", "llamacpp:", "ik:"])
def test_a_hub_file_is_downloaded_once(workshop: Workshop, hub: FakeHub, scheme: str) -> None:
    environment = {**hub.environment, "HF_HOME": str(workshop.folder / "hub")}
    name = f"{scheme}maker/Tiny-GGUF/tiny.gguf"

    status, output, errors = workshop.run(name, **environment)
    assert status == 0, errors
    assert Path(output.strip()).read_bytes() == workshop.content

    asked = len(hub.requests)
    assert workshop.run(name, **environment)[:2] == (0, output)
    assert len(hub.requests) == asked
    status, _, errors = workshop.run(f"{name}@v2", **environment)
    assert status == 1
    assert "@v2" in errors


def test_all_parts_of_a_split_hub_file_are_downloaded(workshop: Workshop, hub: FakeHub) -> None:
    first = write_tiny(workshop.folder / "big.gguf", tensors_per_part=9)
    parts = read(first).parts
    hub.further = {part.name: part.read_bytes() for part in parts}
    environment = {**hub.environment, "HF_HOME": str(workshop.folder / "hub")}

    for part in (parts[0], parts[2]):
        status, output, errors = workshop.run(f"maker/Tiny-GGUF/{part.name}", **environment)
        assert status == 0, errors
        found = read(Path(output.strip()))
        assert [path.name for path in found.parts] == [path.name for path in parts]
        assert found.tensors.keys() == read(first).tensors.keys()


def test_a_part_that_the_hub_does_not_have_is_named(workshop: Workshop, hub: FakeHub) -> None:
    parts = read(write_tiny(workshop.folder / "big.gguf", tensors_per_part=9)).parts
    hub.further = {part.name: part.read_bytes() for part in parts[:2]}
    status, _, errors = workshop.run(
        f"maker/Tiny-GGUF/{parts[0].name}", **hub.environment, HF_HOME=str(workshop.folder / "hub")
    )
    assert status == 1
    assert "There is no model" in errors
    assert parts[2].name in errors


def test_where_the_bytes_come_from_is_said() -> None:
    """Of every package by the name that pip is asked for."""
    words = provenance()
    for entry in CATALOGUE.values():
        for source in entry.sources:
            if isinstance(source, Wheels):
                assert source.requirements[0].partition("==")[0] in words
    assert "SHA-256" in words
