"""Requantising by llama.cpp and ik_llama.cpp: whole or not at all, kept, and made again when the source changes."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import OF_GGUF, RUNTIMES, Runtime
from speculatoviz.models.requantise import FILE_TYPES, not_f32, requantise
from support.runtimes import needs_ik, of_gguf
from support.tiny_gguf import write_tiny

LLAMA_THREADS = 2


def test_an_unknown_type_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Q9_9") as refusal:
        requantise(tmp_path / "any.gguf", "Q9_9", tmp_path, LLAMA_THREADS)
    assert all(name in refusal.value.hint for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K_M"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"GGUF",
        struct.pack("<4sIQQ", b"GGUF", 3, 5, 0),
        struct.pack("<4sIQQ", b"GGUF", 1, 0, 0),
    ],
)
def test_what_is_not_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "bad.gguf"
    source.write_bytes(content)
    with pytest.raises(ModelError, match="GGUF"):
        requantise(source, "F32", tmp_path, LLAMA_THREADS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.gguf"):
        requantise(tmp_path / "missing.gguf", "F32", tmp_path, LLAMA_THREADS)


def test_a_source_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf")
    os.truncate(source, source.stat().st_size // 2)
    with pytest.raises(ModelError, match="is not whole"):
        requantise(source, "F32", tmp_path, LLAMA_THREADS)


def test_a_refusal_of_llamacpp_gives_its_cause_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", architecture="abacus")
    with pytest.raises(
        ModelError, match=r"could not requantise tiny\.gguf to F16: .*unknown model architecture: 'abacus'"
    ):
        requantise(source, "F16", tmp_path, LLAMA_THREADS)
    assert not [path for path in (tmp_path / "models").iterdir() if path.suffix != ".lock"]


@of_gguf
def test_a_crash_is_an_error_in_words(runtime: Runtime, tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", fields={"{arch}.block_count": 10_000})
    with pytest.raises(
        ModelError, match=r"could not requantise tiny\.gguf to F16: .*SIGABRT \(.*GGML_ASSERT"
    ) as refusal:
        requantise(source, "F16", tmp_path, LLAMA_THREADS, runtime)
    assert refusal.value.message.startswith(RUNTIMES[runtime])
    assert not [path for path in (tmp_path / "models").iterdir() if path.suffix != ".lock"]


@needs_ik
@pytest.mark.parametrize("quantisation", ["Q4_0", "Q8_0"])
def test_both_runtimes_make_the_same_weights_of_a_simple_type(quantisation: str, tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", hidden=256)
    made = [read(requantise(source, quantisation, tmp_path / r, LLAMA_THREADS, r)) for r in OF_GGUF]
    first, second = (
        {name: file.path.read_bytes()[t.offset : t.offset + t.size_bytes] for name, t in file.tensors.items()}
        for file in made
    )
    assert first == second


@of_gguf
def test_a_split_file_becomes_one_of_all_its_tensors(runtime: Runtime, tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "whole.gguf")
    source = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    assert len(read(source).parts) == 3

    path = requantise(source, "Q8_0", tmp_path, LLAMA_THREADS, runtime)

    assert path == tmp_path / "models" / "tiny.Q8_0.gguf"
    made = read(path)
    assert made.parts == (path,)
    assert made.tensors.keys() == read(whole).tensors.keys()
    first = path.stat()
    assert requantise(source, "Q8_0", tmp_path, LLAMA_THREADS, runtime).stat() == first
    last = read(source).parts[-1]
    os.utime(last, ns=(0, last.stat().st_mtime_ns + 10**9))
    assert requantise(source, "Q8_0", tmp_path, LLAMA_THREADS, runtime).stat().st_mtime_ns != first.st_mtime_ns


@pytest.mark.smol
class TestWithWeights:
    @pytest.fixture
    def source(self, smol_path: Path, tmp_path: Path) -> Path:
        """A name of our own for the weights, so that its time may be changed."""
        path = tmp_path / "smol.gguf"
        shutil.copyfile(smol_path, path)
        return path

    @of_gguf
    def test_f32_is_f32_in_every_tensor(self, runtime: Runtime, source: Path, tmp_path: Path) -> None:
        assert "token_embd.weight" in not_f32(source)

        path = requantise(source, "f32", tmp_path, LLAMA_THREADS, runtime)

        assert path == tmp_path / "models" / "smol.F32.gguf"
        assert not_f32(path) == []
        assert read(path).integer("general.file_type") == FILE_TYPES["F32"]
        assert read(path).tensors.keys() == read(source).tensors.keys()
        assert "token_embd.weight" in read(path).tensors

    @of_gguf
    def test_nothing_is_printed_and_nothing_left_over(
        self, runtime: Runtime, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        requantise(source, "Q4_0", tmp_path, LLAMA_THREADS, runtime)

        assert capfd.readouterr() == ("", "")
        names = {path.name for path in (tmp_path / "models").iterdir() if not path.name.endswith(".lock")}
        assert names == {"smol.Q4_0.gguf", "smol.Q4_0.gguf.json"}

    def test_a_result_is_kept_until_the_source_changes_or_it_is_damaged(self, source: Path, tmp_path: Path) -> None:
        path = requantise(source, "Q4_0", tmp_path, LLAMA_THREADS)
        first = path.stat()
        assert requantise(source, "Q4_0", tmp_path, LLAMA_THREADS).stat() == first

        os.utime(source, ns=(0, source.stat().st_mtime_ns + 10**9))
        second = requantise(source, "Q4_0", tmp_path, LLAMA_THREADS).stat()
        assert second.st_ino != first.st_ino or second.st_mtime_ns != first.st_mtime_ns

        os.truncate(path, 1000)
        assert requantise(source, "Q4_0", tmp_path, LLAMA_THREADS).stat().st_size == first.st_size

    def test_a_source_of_that_type_is_used_as_it_is(self, source: Path, tmp_path: Path) -> None:
        assert requantise(source, "Q4_1", tmp_path, LLAMA_THREADS) == source

    def test_the_source_is_left_alone(self, source: Path, smol_path: Path, tmp_path: Path) -> None:
        requantise(source, "Q4_0", tmp_path, LLAMA_THREADS)
        assert source.read_bytes() == smol_path.read_bytes()
