"""The runtimes under the conformance suite: add a new one to RUNTIMES and run tests/models/test_runtimes.py."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.trim import trim
from speculatoviz.models.invariant import InvariantModel
from speculatoviz.models.kernels import CANDIDATES
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel

CONTEXT = 512


@dataclass(frozen=True)
class Weights:
    """SmolLM2-135M-Instruct in float32, the same numbers in both formats, and the quantised file they come from."""

    gguf: Path
    gguf_f32: Path
    folder: Path


@dataclass(frozen=True)
class Runtime:
    """noise: the stated floor, the largest difference of a logit between one pass and another over the same tokens.

    needs: modules without which it is skipped. smol: whether it loads SmolLM2.
    """

    name: str
    open: Callable[[Weights], LanguageModel]
    noise: float
    needs: tuple[str, ...] = ()
    smol: bool = True

    @property
    def installed(self) -> bool:
        return all(find_spec(module) is not None for module in self.needs)


def open_gguf(runtime: str, path: Path, cells: int, source: Path | None = None) -> SequenceModel:
    """A GGUF file on llamacpp or ik. source: of a trimmed file, the one that it is made of."""
    if runtime == "ik":
        from speculatoviz.models.runtimes.ik import IkModel

        return IkModel(path, cells, source=source, watched=True)
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

    return LlamaCppModel(path, cells, source=source)


def _of_gguf(runtime: str, *, quantised: bool = False) -> Callable[[Weights], LanguageModel]:
    return lambda weights: open_gguf(runtime, weights.gguf if quantised else weights.gguf_f32, CONTEXT)


def _trimmed(runtime: str) -> Callable[[Weights], LanguageModel]:
    """With so few tokens that most words of a text are fed as embeddings."""
    return lambda weights: open_gguf(
        runtime, trim(weights.gguf, 1024, weights.gguf.parents[1]), CONTEXT, source=weights.gguf
    )


def _invariant(runtime: str) -> Callable[[Weights], LanguageModel]:
    """SmolLM2 in Q4_1, as `--batch-invariant` configures it."""

    def load(weights: Weights) -> LanguageModel:
        model = open_gguf(runtime, weights.gguf, CONTEXT)
        model.configure(CANDIDATES[model.runtime][0])
        return InvariantModel(model, trees=runtime != "ik")

    return load


def _transformers(weights: Weights) -> LanguageModel:
    from speculatoviz.models.runtimes.transformers import TransformersModel

    return TransformersModel(weights.folder, CONTEXT, device="cpu", dtype="float32")


def _mlx(weights: Weights) -> LanguageModel:
    from speculatoviz.models.runtimes.mlx import MlxModel

    return MlxModel(weights.folder, CONTEXT)


_CONVERTER = ("torch", "transformers", "gguf", "accelerate")  # what makes the folder of safetensors

RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("toy", lambda _: ToyModel(0, ALPHABET), noise=0.0, smol=False),
        Runtime("llamacpp", _of_gguf("llamacpp"), noise=0.1),
        # 8-bit activations amplify the rounding of cells that are not contiguous.
        Runtime("llamacpp-quantised", _of_gguf("llamacpp", quantised=True), noise=2.0),
        Runtime("ik", _of_gguf("ik"), noise=0.02, needs=("ik_llama_cpp",)),
        # Rows of Q4_1 are computed alike whatever the pass: also after a tree, where cells are not contiguous.
        Runtime("ik-quantised", _of_gguf("ik", quantised=True), noise=0.0, needs=("ik_llama_cpp",)),
        Runtime("llamacpp-trimmed", _trimmed("llamacpp"), noise=2.0),
        Runtime("ik-trimmed", _trimmed("ik"), noise=0.0, needs=("ik_llama_cpp",)),
        Runtime("llamacpp-invariant", _invariant("llamacpp"), noise=0.0),
        Runtime("ik-invariant", _invariant("ik"), noise=0.0, needs=("ik_llama_cpp",)),
        Runtime("transformers", _transformers, noise=0.001, needs=_CONVERTER),
        Runtime("mlx", _mlx, noise=0.001, needs=("mlx_lm", *_CONVERTER)),
    )
}
needs_ik = pytest.mark.skipif(not RUNTIMES["ik"].installed, reason="needs ik_llama_cpp")
of_gguf = pytest.mark.parametrize("runtime", ["llamacpp", pytest.param("ik", marks=needs_ik)])
CAN_CONVERT = all(find_spec(module) is not None for module in _CONVERTER)


def converted(gguf: Path, cache_dir: Path) -> Path:
    """The file's weights as a folder of safetensors in float32, made once and kept in the cache."""
    stat = gguf.stat()
    key = hashlib.sha256(f"{gguf.name} {stat.st_size}".encode()).hexdigest()[:8]
    folder = cache_dir / "converted" / f"{gguf.stem}-{key}"
    if not (folder / "config.json").is_file():
        script = Path(__file__).with_name("convert.py")
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, script, gguf, folder], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder
