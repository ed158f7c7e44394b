"""Headers of GGUF files: read as the library reads them, split ones whole, and malformed ones refused in words."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from pathlib import Path

import gguf
import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.files.gguf import MOST_SMALL_ITEMS, STRING, part_names, read
from support.tiny_gguf import Vocabulary, write_tiny

MUTATIONS = 1500
UINT8, UINT32, ARRAY, F32 = 0, 4, 9, 0


def header(n_tensors: int, n_fields: int, *rest: bytes, version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_fields) + b"".join(rest)


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def tensor(name: bytes, shape: list[int], kind: int = F32, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


@pytest.mark.parametrize("vocabulary", ["spm", "bpe"])
def test_what_is_read_is_what_the_library_reads(tmp_path: Path, vocabulary: Vocabulary) -> None:
    fields = {"general.languages": ["en", "ü"], "general.flag": True}
    path = write_tiny(tmp_path / "tiny.gguf", vocabulary, fields=fields, types={"output.weight": "Q8_0"})
    found, expected = read(path), gguf.GGUFReader(path)

    known = {key: field for key, field in expected.fields.items() if not key.startswith("GGUF.")}
    assert {key: field.value for key, field in found.fields.items()} == {
        key: field.contents() for key, field in known.items()
    }
    assert {key: found.fields[key].type for key in known} == {key: int(field.types[0]) for key, field in known.items()}
    assert list(found.tensors) == [tensor.name for tensor in expected.tensors]
    for there in expected.tensors:
        own = found.tensors[there.name]
        assert (own.type, own.shape) == (int(there.tensor_type), tuple(there.shape.tolist()))
        assert (own.path, own.offset, own.size_bytes) == (path, there.data_offset, there.n_bytes)
    assert found.size_bytes == path.stat().st_size
    assert found.headers == (path.read_bytes()[: min(tensor.data_offset for tensor in expected.tensors)],)


def test_large_arrays_are_read_when_asked_for(tmp_path: Path) -> None:
    texts = [f"piece {number}" for number in range(MOST_SMALL_ITEMS + 1)]
    numbers = list(range(MOST_SMALL_ITEMS + 1))
    path = write_tiny(tmp_path / "tiny.gguf", fields={"a.texts": texts, "a.numbers": numbers, "a.last": "here"})
    for large in (False, True):
        found = read(path, large_arrays=large)
        assert found.text("a.last") == "here", "what comes after skipped arrays is read"
        for key, values in (("a.texts", texts), ("a.numbers", numbers)):
            assert found.fields[key].count == len(values)
            assert found.fields[key].value == (values if large else None)


def test_typed_values(tmp_path: Path) -> None:
    found = read(write_tiny(tmp_path / "tiny.gguf", fields={"a.flag": True, "a.count": 3, "a.name": "x"}))
    assert (found.integer("a.count"), found.text("a.name"), found.architecture) == (3, "x", "llama")
    assert (found.integer("a.flag"), found.integer("a.name"), found.integer("a.none")) == (None, None, None)
    assert (found.text("a.count"), found.text("a.none")) == (None, None)


def test_text_that_is_no_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(header(0, 1, string(b"a.name"), struct.pack("<I", STRING), string(b"\xff\xfe")))
    text = read(path).text("a.name")
    assert text is not None
    assert text.encode(errors="surrogateescape") == b"\xff\xfe"


# --- split files --------------------------------------------------------------------------------------


def test_a_split_file_is_read_whole(tmp_path: Path) -> None:
    whole = read(write_tiny(tmp_path / "whole.gguf"))
    first = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    found = read(first)

    assert [part.name for part in found.parts] == [f"tiny-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert found.tensors.keys() == whole.tensors.keys()
    assert found.size_bytes == sum(part.stat().st_size for part in found.parts)
    assert (found.path, found.stem, len(found.headers)) == (first, "tiny", 3)
    for name, own in found.tensors.items():
        data = own.path.read_bytes()[own.offset : own.offset + own.size_bytes]
        there = whole.tensors[name]
        assert data == there.path.read_bytes()[there.offset : there.offset + there.size_bytes], name


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    with pytest.raises(ModelError, match="is part 2 of 3") as refusal:
        read(read(first).parts[1])
    assert str(first) in refusal.value.hint


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    (missing := read(first).parts[2]).unlink()
    with pytest.raises(ModelError, match=missing.name):
        read(first)


def test_parts_in_another_order_are_refused(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    _, second, third = read(first).parts
    second.rename(tmp_path / "aside")
    third.rename(second)
    (tmp_path / "aside").rename(third)
    with pytest.raises(ModelError, match="does not say that it is part 2 of 3"):
        read(first)


def test_a_first_part_under_another_name_says_which_names_are_needed(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    with pytest.raises(ModelError, match="the first of 3 parts") as refusal:
        read(first.rename(tmp_path / "model.gguf"))
    assert "-00001-of-00003.gguf" in refusal.value.hint


def test_names_of_parts() -> None:
    assert part_names("a/b-00002-of-00003.gguf") == [f"a/b-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert part_names("b.gguf") == ["b.gguf"]


# --- malformed files ----------------------------------------------------------------------------------

MALFORMED = {
    "not a GGUF file": [b"", b"GG", b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1\n"],
    "ends within its header": [
        b"GGUF",
        header(0, 5),
        header(0, 1, struct.pack("<Q", 20), b"short"),
        header(0, 1, string(b"a"), struct.pack("<IIQ", ARRAY, UINT8, 10_000)),
        header(0, 1, string(b"a"), struct.pack("<IIQ", ARRAY, STRING, 10_000), struct.pack("<Q", 2**63)),
        header(1, 0, string(b"a")),
    ],
    "version is 1": [header(0, 0, version=1)],
    "version is 4": [header(0, 0, version=4)],
    "other byte order": [struct.pack(">4sIQQ", b"GGUF", 3, 0, 0)],
    "announces": [
        header(2**40, 0),
        header(0, 2**62),
        header(0, 1, struct.pack("<Q", 2**60)),
        header(0, 1, string(b"a"), struct.pack("<IIQ", ARRAY, STRING, 2**60)),
        header(0, 1, string(b"a"), struct.pack("<I", STRING), struct.pack("<Q", 2**40)),
    ],
    "has the type 99": [header(0, 1, string(b"a"), struct.pack("<I", 99))],
    "items of the type 9": [header(0, 1, string(b"a"), struct.pack("<IIQ", ARRAY, ARRAY, 1))],
    "comes twice": [header(0, 2, *[string(b"a") + struct.pack("<IB", UINT8, 1)] * 2)],
    "no power of two": [
        header(0, 1, string(b"general.alignment"), struct.pack("<II", UINT32, value)) for value in (0, 3, 2**31)
    ],
    "0 dimensions": [header(1, 0, tensor(b"t", []))],
    "5 dimensions": [header(1, 0, tensor(b"t", [1] * 5))],
    "has the shape": [header(1, 0, tensor(b"t", [2**40, 2**40])), header(1, 0, tensor(b"t", [4, 0]))],
    "no multiple of 32": [header(1, 0, tensor(b"t", [31, 2], kind=2), bytes(64))],
    "does not begin at a multiple": [header(1, 0, tensor(b"t", [1], offset=4), bytes(64))],
    "is not whole": [
        header(1, 0, tensor(b"t", [2**30]), bytes(64)),
        header(1, 0, tensor(b"t", [4], offset=2**60), bytes(64)),
    ],
    "two tensors named": [header(2, 0, *[tensor(b"t", [4])] * 2, bytes(64))],
    "split.count is -1": [header(0, 1, string(b"split.count"), struct.pack("<Ih", 3, -1))],
}


@pytest.mark.parametrize(
    ("words", "content"),
    [(words, content) for words, contents in MALFORMED.items() for content in contents],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_header_is_refused_in_words(tmp_path: Path, words: str, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as refusal:
        read(path)
    assert refusal.value.hint


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for name in ("", "missing.gguf", "pipe.gguf", "x" * 300, "null\0byte"):
        with pytest.raises(ModelError, match="cannot be read"):
            read(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_in_words(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        read(path)


def test_a_huge_string_in_a_huge_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.gguf"
    path.write_bytes(header(0, 1, string(b"a"), struct.pack("<IQ", STRING, 30 << 30)))
    os.truncate(path, 40 << 30)  # sparse
    assert peak_bytes(path) < 4 << 20


def peak_bytes(path: Path) -> int:
    """What reading a file that may be malformed allocates at most."""
    tracemalloc.start()
    try:
        read(path, large_arrays=True)
    except ModelError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def mutated(content: bytes, length: int, rng: random.Random) -> bytes:
    """Some bytes of the first `length` changed, or the rest cut off."""
    result = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(length)
        size = rng.choice([1, 1, 4, 8])
        odd = rng.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, rng.getrandbits(64)])
        result[at : at + size] = (odd % 256**size).to_bytes(size, "little")
    return bytes(result[: rng.randrange(len(result))] if rng.random() < 0.1 else result)


def test_random_mutations_of_a_header_are_read_or_refused(tmp_path: Path) -> None:
    content = write_tiny(tmp_path / "tiny.gguf").read_bytes()
    length = len(read(tmp_path / "tiny.gguf").headers[0])
    path, outcomes = tmp_path / "mutated.gguf", {"read": 0, "refused": 0}
    rng = random.Random(0)  # noqa: S311
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, length, rng))
        try:
            found = read(path, large_arrays=True)
            assert all(own.offset + own.size_bytes <= found.size_bytes for own in found.tensors.values())
            outcomes["read"] += 1
        except ModelError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > MUTATIONS // 20, outcomes
    assert peak_bytes(path) < 8 << 20
