"""A GGUF file in another quantisation, made once by llama.cpp or ik_llama.cpp, in a child process, and kept."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.models.files.child import ending, run_child
from speculatoviz.models.files.derived import derive
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import RUNTIMES, Runtime
from speculatoviz.models.gguf_runtimes import gguf_library

FILE_TYPES = {  # llama.h, enum llama_ftype: the types that need no importance matrix
    "F32": 0,
    "F16": 1,
    "BF16": 32,
    "Q8_0": 7,
    "Q6_K": 18,
    "Q5_K_M": 17,
    "Q5_K_S": 16,
    "Q5_1": 9,
    "Q5_0": 8,
    "Q4_K_M": 15,
    "Q4_K_S": 14,
    "Q4_1": 3,
    "Q4_0": 2,
    "IQ4_NL": 25,
    "IQ4_XS": 30,
    "Q3_K_L": 13,
    "Q3_K_M": 12,
    "Q3_K_S": 11,
    "Q2_K": 10,
}
# Types that are applied to every matrix. llama.cpp would leave the output matrix in a larger type, and in a small model
# with a large vocabulary that matrix is most of a pass.
UNIFORM = frozenset({"F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL"})
_F32 = 0  # ggml.h, enum ggml_type
_ERROR = 4  # GGML_LOG_LEVEL_ERROR


def requantise(
    source: Path, quantisation: str, cache_dir: Path | str, threads: int, runtime: Runtime = "llamacpp"
) -> Path:
    """The path of `source` in that quantisation (a name of FILE_TYPES), made on first use.

    source: a file, or the first part of a split one; the result is one file. A source of that type is returned as it
    is. runtime: whose library makes it, llamacpp or ik. Raises ModelError for an unknown name, for a file that is not
    GGUF, and with the library's cause if it refuses.
    """
    name = quantisation.upper()
    if name not in FILE_TYPES:
        raise ModelError(f"There is no quantisation named {quantisation!r}.", f"Known: {', '.join(FILE_TYPES)}.")
    file = read(source)
    if file.integer("general.file_type") == FILE_TYPES[name]:
        return source
    choices = {"type": name, "uniform": name in UNIFORM}
    return derive(file, name, cache_dir, choices, lambda part: _make(file, part, name, threads, runtime))


def not_f32(path: Path) -> list[str]:
    """The names of a GGUF file's tensors that are not F32. Raises ModelError if it is none."""
    return [tensor.name for tensor in read(path).tensors.values() if tensor.type != _F32]


def _make(source: GgufFile, part: Path, name: str, threads: int, runtime: Runtime) -> None:
    child = run_child(__name__, str(source.path), str(part), name, str(threads), runtime)
    if child.returncode != 0 or not part.is_file():
        raise ModelError(
            f"{RUNTIMES[runtime]} could not requantise {source.path.name} to {name}: its process ended with "
            f"{ending(child)}.",
            "Choose another quantisation, or leave it out to use the file as it is.",
        )
    if name == "F32" and (others := not_f32(part)):
        raise ModelError(
            f"{source.path.name} could not be turned into F32: {', '.join(others[:3])} stayed quantised.",
            "Choose another file of this model as the source.",
        )


def _main(source: str, part: str, name: str, threads: str, runtime: Runtime) -> int:
    """The child process: quantise, print errors alone, and exit with the library's own status."""
    lib = gguf_library(runtime)

    def log(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level == _ERROR:
            print(text.decode(errors="replace"), end="", file=sys.stderr, flush=True)

    callback = lib.llama_log_callback(log)
    lib.llama_log_set(callback, None)
    params = lib.llama_model_quantize_default_params()
    params.nthread = int(threads)
    params.ftype = FILE_TYPES[name]
    params.allow_requantize = True
    params.pure = name in UNIFORM
    return int(lib.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(params)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main(*sys.argv[1:]))  # type: ignore[arg-type]
    sys.exit(130)
