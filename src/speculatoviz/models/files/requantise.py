"""A GGUF file in another quantisation, made once by llama.cpp and kept.

llama.cpp runs in a process of its own: it ends the process where it cannot go on, and to silence its messages here
would take a callback that the whole process shares.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speculatoviz.errors import ModelError
from speculatoviz.models.files.derived import derive

FILE_TYPES = {  # llama.h, enum llama_ftype: those that need no importance matrix
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
# Types of one format, taken at their word: llama.cpp would leave the output matrix in a larger one, and in a small
# model with a large vocabulary that matrix is most of a pass.
UNIFORM = frozenset({"F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL"})
F32_TENSOR = 0  # ggml.h, enum ggml_type


def requantise(source: Path, quantisation: str, cache_dir: Path | str, threads: int) -> Path:
    """The path of `source` in that quantisation (a name of FILE_TYPES), made on first use.

    A source that already is of that type is returned as it is. Raises ModelError for an unknown name, listing
    the known ones, for a file that is not GGUF, and in llama.cpp's words if it refuses.
    """
    name = quantisation.upper()
    if name not in FILE_TYPES:
        raise ModelError(f"There is no quantisation named {quantisation!r}.", f"Known: {', '.join(FILE_TYPES)}.")
    if read_header(source).file_type == FILE_TYPES[name]:
        return source
    choices = {"type": name, "uniform": name in UNIFORM}
    return derive(
        source, f"{source.stem}.{name}.gguf", cache_dir, choices, lambda part: _make(source, part, name, threads)
    )


def _make(source: Path, part: Path, name: str, threads: int) -> None:
    _run_llama(source, part, name, threads)
    if name == "F32" and (others := not_f32(part)):
        raise ModelError(
            f"{source.name} could not be turned into F32: {', '.join(others[:3])} stayed quantised.",
            "Choose another file of this model as the source.",
        )


def _run_llama(source: Path, part: Path, name: str, threads: int) -> None:
    command = [sys.executable, "-P", "-m", __name__, str(source), str(part), name, str(threads)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0 or not part.is_file():
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"llama.cpp could not requantise {source.name} to {name}: "
            f"{' '.join(lines[-2:]) or f'exit status {result.returncode}'}.",
            "Choose another quantisation, or leave it out to use the file as it is.",
        )


def _main(source: str, part: str, name: str, threads: str) -> int:
    """The child process: quantise and exit with llama.cpp's own status."""
    import ctypes

    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = int(threads)
    params.ftype = FILE_TYPES[name]
    params.allow_requantize = True
    params.pure = name in UNIFORM
    return int(llama_cpp.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(params)))


# --- the header of a GGUF file --------------------------------------------------------------------------

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
Value = int | float | bool | bytes | None


@dataclass(frozen=True)
class Header:
    """`file_type` is llama_ftype, None where the file does not say; `tensor_types` are ggml_type by name."""

    file_type: int | None
    tensor_types: dict[str, int]


def read_header(path: Path) -> Header:
    """The types in a GGUF file; raises ModelError if it is not one."""
    try:
        with path.open("rb") as file:
            magic, version, tensors, pairs = struct.unpack("<4sIQQ", _exactly(file, 24))
            if magic != b"GGUF" or version < 2:
                raise ValueError("no GGUF header of version 2 or later")
            values = {_string(file): _value(file, _scalar(file, "I")) for _ in range(pairs)}
            file_type = values.get("general.file_type")
            return Header(
                file_type if isinstance(file_type, int) else None,
                dict(_tensor(file) for _ in range(tensors)),
            )
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise ModelError(f"{path} cannot be read as a GGUF file: {error}.", "Choose a model in GGUF format.") from error


def not_f32(path: Path) -> list[str]:
    """The names of a GGUF file's tensors that are not F32."""
    return [name for name, kind in read_header(path).tensor_types.items() if kind != F32_TENSOR]


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("it ends within its header")
    return data


def _scalar(file: BinaryIO, code: str) -> int:
    value: int = struct.unpack(f"<{code}", _exactly(file, struct.calcsize(f"<{code}")))[0]
    return value


def _string(file: BinaryIO) -> str:
    return _exactly(file, _scalar(file, "Q")).decode(errors="replace")


def _value(file: BinaryIO, kind: int) -> Value:
    """One metadata value; arrays (vocabularies) are passed over."""
    if kind == _STRING:
        return _exactly(file, _scalar(file, "Q"))
    if kind != _ARRAY:
        return _scalar(file, _SCALARS[kind])
    inner, count = _scalar(file, "I"), _scalar(file, "Q")
    if inner in _SCALARS:
        file.seek(count * struct.calcsize(f"<{_SCALARS[inner]}"), 1)
    else:
        for _ in range(count):
            _value(file, inner)
    return None


def _tensor(file: BinaryIO) -> tuple[str, int]:
    """(name, ggml_type); dimensions and offset are passed over."""
    name = _string(file)
    file.seek(8 * _scalar(file, "I"), 1)
    kind = _scalar(file, "I")
    file.seek(8, 1)
    return name, kind


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main(*sys.argv[1:]))
    sys.exit(130)
