"""Files for which a runtime would end this process are refused in words, and what loads is remembered."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models import gguf_trial as trial
from speculatoviz.models import libraries
from speculatoviz.models.base import Feed
from speculatoviz.models.files.child import cause, run_child
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import OF_GGUF
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.load import Loading, load_cheaper, load_model, load_tokenizer
from support.runtimes import needs_ik, of_gguf
from support.tiny_gguf import HIDDEN, write_tiny

# Files that end the process that loads or uses them, with the cause that llama.cpp prints.
CRASHES: dict[str, tuple[dict[str, Any], str]] = {
    "negative epsilon": ({"{arch}.attention.layer_norm_rms_epsilon": -1.0}, r"GGML_ASSERT\(eps"),
    "experts without use": ({"{arch}.expert_count": 2}, r"GGML_ASSERT\(.*n_expert_used"),
    "more predicted layers than layers": ({"{arch}.nextn_predict_layers": 7}, r"GGML_ASSERT\(hparams.n_layer_nextn"),
    "unknown scaling": ({"{arch}.rope.scaling.type": "rwkv"}, r"GGML_ASSERT\(hparams.rope_scaling_type"),
    "vocabulary twice": ({"tokenizer.ggml.tokens": ["a"] * 269}, r"GGML_ASSERT\(id_to_token"),
}
ONLY_LLAMACPP_CRASHES = {"more predicted layers than layers"}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architecture": "abacus"}, "unknown model architecture: 'abacus'"),
    "missing tensor": ({"tensors": {"blk.1.attn_k.weight": None}}, "'blk.1.attn_k.weight' not found"),
    "wrong shape": ({"tensors": {"blk.1.attn_k.weight": np.zeros((3, HIDDEN), np.float32)}}, "has wrong shape"),
    "tokenizer": ({"fields": {"tokenizer.ggml.model": "abacus"}}, "unknown tokenizer: 'abacus'"),
    "escape sequence": (
        {"fields": {"tokenizer.ggml.model": "\x1b[31m"}},
        "unknown tokenizer: '\N{REPLACEMENT CHARACTER}",
    ),
}


def loading(folder: Path) -> Loading:
    return Loading(64, folder / "cache", threads=1)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments of every process started from here on."""
    started: list[tuple[str, ...]] = []

    def counting(module: str, *arguments: str, timeout_s: float | None = None) -> Any:
        started.append(arguments)
        return run_child(module, *arguments, timeout_s=timeout_s)

    monkeypatch.setattr(trial, "run_child", counting)
    return started


def test_what_loads_is_tried_once(tmp_path: Path, processes: list[tuple[str, ...]]) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    for _ in range(2):
        require_loadable(path, tmp_path / "cache")
    assert processes == [(str(path), "llamacpp")]

    require_loadable(path, tmp_path / "cache", vocabulary_only=True)
    assert len(processes) == 1, "its vocabulary has loaded too"


def test_a_vocabulary_that_loads_is_tried_once_and_proves_no_weights(
    tmp_path: Path, processes: list[tuple[str, ...]]
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", tensors={"blk.1.attn_k.weight": None})
    for _ in range(2):
        require_loadable(path, tmp_path / "cache", vocabulary_only=True)
    assert processes == [(str(path), "llamacpp", "--vocabulary")]
    with pytest.raises(ModelError, match="not found"):
        require_loadable(path, tmp_path / "cache")


def test_a_changed_file_and_another_library_are_tried_again(
    tmp_path: Path, processes: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    require_loadable(path, tmp_path / "cache")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    require_loadable(path, tmp_path / "cache")
    write_tiny(path, fields={"general.name": "other"})
    require_loadable(path, tmp_path / "cache")
    monkeypatch.setattr(libraries, "version", lambda _: "99")
    require_loadable(path, tmp_path / "cache")
    assert len(processes) == 4


def test_a_changed_part_is_tried_again(tmp_path: Path, processes: list[tuple[str, ...]]) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    last = read(path).parts[-1]
    for _ in range(2):
        require_loadable(path, tmp_path / "cache")
    os.utime(last, ns=(0, last.stat().st_mtime_ns + 10**9))
    require_loadable(path, tmp_path / "cache")
    assert len(processes) == 2


def test_a_processor_that_lacks_instructions_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def illegal(*_: str, timeout_s: float) -> Any:
        return subprocess.CompletedProcess((), -signal.SIGILL, "", "")

    monkeypatch.setattr(trial, "run_child", illegal)
    with pytest.raises(ModelError, match="SIGILL") as refusal:
        require_loadable(write_tiny(tmp_path / "tiny.gguf"), tmp_path, "ik")
    assert "instructions that this processor lacks" in refusal.value.hint


def test_a_file_with_a_known_hash_needs_no_process(tmp_path: Path, processes: list[tuple[str, ...]]) -> None:
    require_loadable(write_tiny(tmp_path / "tiny.gguf"), tmp_path / "cache", verified=True)
    with pytest.raises(ModelError, match="t5"):
        require_loadable(write_tiny(tmp_path / "t5.gguf", architecture="t5"), tmp_path / "cache", verified=True)
    assert processes == []


def test_a_cache_that_cannot_be_written_costs_the_memory_alone(
    tmp_path: Path, processes: list[tuple[str, ...]]
) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    path = write_tiny(tmp_path / "tiny.gguf")
    for _ in range(2):
        require_loadable(path, tmp_path / "cache")
    assert len(processes) == 2
    with pytest.raises(ModelError, match="GGML_ASSERT"):
        require_loadable(write_tiny(path, fields={"{arch}.expert_count": 2}), tmp_path / "cache")


@pytest.mark.parametrize("name", CRASHES)
@of_gguf
def test_a_file_that_ends_the_process_is_refused_with_the_cause(tmp_path: Path, runtime: str, name: str) -> None:
    fields, words = CRASHES[name]
    path = write_tiny(tmp_path / "tiny.gguf", fields=fields)
    if runtime != "llamacpp" and name in ONLY_LLAMACPP_CRASHES:
        load_model(f"{runtime}:{path}", loading(tmp_path), None, silent).close()
        return
    with pytest.raises(ModelError, match=rf"SIGABRT \(.*{words}.* failed\)") as refusal:
        load_model(f"{runtime}:{path}", loading(tmp_path), None, silent)
    assert "site-packages" not in refusal.value.message
    assert "pip-install" not in refusal.value.message


@needs_ik
def test_what_one_runtime_loads_the_other_tries_itself(tmp_path: Path, processes: list[tuple[str, ...]]) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    for _ in range(2):
        for runtime in OF_GGUF:
            require_loadable(path, tmp_path / "cache", runtime)
    assert [runtime for _, runtime in processes] == list(OF_GGUF)


@needs_ik
def test_a_file_with_types_of_its_own_runtime_needs_no_other(tmp_path: Path) -> None:
    """llama.cpp reads no file with types that it does not know, and so not its vocabulary."""
    path = write_tiny(tmp_path / "tiny.gguf")
    content = bytearray(path.read_bytes())
    at = content.index(b"blk.1.ffn_gate.weight") + len(b"blk.1.ffn_gate.weight") + 4 + 2 * 8
    assert struct.unpack_from("<I", content, at) == (0,)
    struct.pack_into("<I", content, at, 133)  # Q6_0, a type of ik_llama.cpp alone
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError):
        load_tokenizer(f"llamacpp:{path}", loading(tmp_path), silent)
    assert load_tokenizer(f"ik:{path}", loading(tmp_path), silent).eos_ids == {2}


@pytest.mark.parametrize("name", REFUSALS)
@of_gguf
def test_a_refusal_gives_the_librarys_cause(tmp_path: Path, runtime: str, name: str) -> None:
    arguments, words = REFUSALS[name]
    path = write_tiny(tmp_path / "tiny.gguf", **arguments)
    with pytest.raises(ModelError, match=words) as refusal:
        load_model(f"{runtime}:{path}", loading(tmp_path), None, silent)
    assert "failed to load model" not in refusal.value.message
    assert refusal.value.message.isprintable()


@of_gguf
def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, runtime: str) -> None:
    norm = np.full(HIDDEN, np.nan, np.float32)
    path = write_tiny(tmp_path / "tiny.gguf", tensors={"output_norm.weight": norm})
    with pytest.raises(ModelError, match="not finite"):
        load_model(f"{runtime}:{path}", loading(tmp_path), None, silent)


def test_a_file_that_asks_for_pooling_still_gives_a_state_per_token(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", fields={"{arch}.pooling_type": 1})  # the mean over all tokens
    model = load_model(f"llamacpp:{path}", loading(tmp_path), None, silent)
    try:
        rows = model.forward([Feed(model.open(32), [5, 6, 7], hidden=True)])[0]
        assert rows.hidden is not None
        assert rows.hidden.shape == (3, HIDDEN)
        assert np.abs(rows.hidden[0] - rows.hidden[2]).max() > 1e-3
    finally:
        model.close()


@of_gguf
def test_every_way_to_load_tries_first(tmp_path: Path, runtime: str) -> None:
    """A target, a draft, its cheaper versions, and a tokenizer alone."""
    vocabulary, _ = CRASHES["vocabulary twice"]
    path = write_tiny(tmp_path / "bad.gguf", fields=vocabulary)
    with pytest.raises(ModelError, match="GGML_ASSERT"):
        load_tokenizer(f"{runtime}:{path}", loading(tmp_path), silent)
    with pytest.raises(ModelError, match="GGML_ASSERT"):
        load_model(f"{runtime}:{path}", loading(tmp_path), "Q8_0", silent)
    for cheaper in ("Q8_0", "0.5"):
        with pytest.raises(ModelError, match="GGML_ASSERT"):
            load_cheaper(f"{runtime}:{path}", loading(tmp_path), cheaper, silent)


@of_gguf
def test_split_files_load_requantised_and_with_fewer_layers(tmp_path: Path, runtime: str) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", tensors_per_part=9)
    whole = load_model(f"{runtime}:{path}", loading(tmp_path), None, silent)
    smaller = load_model(f"{runtime}:{path}", loading(tmp_path), "Q8_0", silent)
    shorter = load_cheaper(f"{runtime}:{path}", loading(tmp_path), "0.5", silent)
    try:
        sizes = [part.stat().st_size for part in read(path).parts]
        assert len(sizes) == 3
        assert whole.description.size_bytes == sum(sizes)
        assert whole.description.parameters == smaller.description.parameters
        assert whole.tokenizer.fingerprint == shorter.tokenizer.fingerprint
        assert (shorter.description.parameters or 0) < (whole.description.parameters or 0)
    finally:
        for model in (whole, smaller, shorter):
            model.close()


def test_a_child_that_does_not_end_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match="did not end"):
        run_child("pydoc", "-b", timeout_s=0.001)


def test_the_first_lines_are_the_cause() -> None:
    lines = [
        "llama_model_load: error loading model: check_tensor_dims: tensor 'a' not found",
        "llama_model_load_from_file_impl: failed to load model",
    ]
    assert cause(lines) == "check_tensor_dims: tensor 'a' not found"
    assert cause(lines[1:]) == "failed to load model"
    assert cause([]) == ""
    assertion = "/build/llama.cpp/ggml.c:12: GGML_ASSERT(a) failed"
    assert cause([assertion, "/lib/libc.so.6(gsignal+0x1)"]) == "ggml.c:12: GGML_ASSERT(a) failed"


def mutated(content: bytes, length: int, rng: random.Random) -> bytes:
    result = bytearray(content)
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(length)
        number = rng.choice([0, 1, 2**31, 2**32 - 1, rng.getrandbits(32)])
        result[at : at + 4] = struct.pack("<I", number) if rng.random() < 0.3 else bytes([*result[at : at + 3], 7])
        result[at] ^= 1 << rng.randrange(8)
    return bytes(result)


@pytest.mark.parametrize("mutations", [30, pytest.param(600, marks=pytest.mark.full)])
@of_gguf
def test_random_headers_load_or_are_refused(tmp_path: Path, runtime: str, mutations: int) -> None:
    """This process outlives them all. About half of them are refused by their header, the others take a process."""
    rng, outcomes = random.Random(0), Counter[str]()  # noqa: S311
    whole = write_tiny(tmp_path / "whole.gguf")
    content, length = whole.read_bytes(), len(read(whole).headers[0])
    for _ in range(mutations):
        path = tmp_path / "mutated.gguf"
        path.write_bytes(mutated(content, length, rng))
        try:
            model = load_model(f"{runtime}:{path}", loading(tmp_path), None, silent)
            model.close()
            outcomes["loaded"] += 1
        except ModelError as error:
            outcomes["crashed" if "SIG" in error.message else "refused"] += 1
    assert outcomes["loaded"] > 0, outcomes
    assert outcomes["refused"] > 0, outcomes
