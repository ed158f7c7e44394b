"""The inference libraries of the runtimes: which are installed, in which version, and how to install the others."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.names import OF_GGUF, RUNTIMES, Runtime


class Library(NamedTuple):
    """module: that is imported. package: whose version counts. install: the argument of `pip install`."""

    module: str
    package: str
    install: str


LIBRARIES: dict[Runtime, Library] = {
    "llamacpp": Library("llama_cpp", "llama_cpp_python", "'speculatoviz[llamacpp]'"),
    "ik": Library("ik_llama_cpp", "ik_llama_cpp_python", "'speculatoviz[ik]'"),
    "mlx": Library("mlx_lm", "mlx_lm", "'speculatoviz[mlx]'"),
    "hf": Library("torch", "torch", "'speculatoviz[hf]'"),
}


def is_installed(runtime: Runtime) -> bool:
    """Whether the runtime's library can be imported."""
    return find_spec(LIBRARIES[runtime].module) is not None


def installed() -> dict[str, str]:
    """Every runtime by its scheme: its title, and how to install it if it is missing."""
    missing = {runtime: f", not installed: pip install {library.install}" for runtime, library in LIBRARIES.items()}
    return {runtime: title + ("" if is_installed(runtime) else missing[runtime]) for runtime, title in RUNTIMES.items()}


def gguf_runtimes() -> list[Runtime]:
    """The installed runtimes that load GGUF files, llama.cpp first. Raises ModelError if there is none."""
    found = [runtime for runtime in OF_GGUF if is_installed(runtime)]
    if not found:
        titles = " nor ".join(RUNTIMES[runtime] for runtime in OF_GGUF)
        ik, llamacpp = LIBRARIES["ik"].install, LIBRARIES["llamacpp"].install
        raise ModelError(
            f"Neither {titles} is installed, and GGUF files need one of them.",
            f"Run `pip install {ik}` (prebuilt, for x86-64 Linux) or `pip install {llamacpp}` (compiles llama.cpp).",
        )
    return found


def require_installed(runtime: Runtime) -> None:
    """Raises ModelError with the command that installs the runtime, unless it is installed."""
    if not is_installed(runtime):
        raise ModelError(f"{RUNTIMES[runtime]} is not installed.", f"Run `pip install {LIBRARIES[runtime].install}`.")


def not_installed(runtime: Runtime, error: ImportError) -> ModelError:
    """The error for a runtime whose library, or something that it needs, could not be imported."""
    return ModelError(
        f"{RUNTIMES[runtime]} cannot be used ({reason_of(error)}).", f"Run `pip install {LIBRARIES[runtime].install}`."
    )


def build_of(runtime: Runtime) -> str:
    """Identifies the installed build: the package's version, and the library that replaces the package's own."""
    try:
        found = version(LIBRARIES[runtime].package)
    except PackageNotFoundError:
        found = "unknown"
    return f"{runtime} {found} {os.environ.get('IK_LLAMA_CPP_LIB_PATH', '') if runtime == 'ik' else ''}"


def installed_at_ns(runtime: Runtime) -> int:
    """The time of the installed package's first file: another build of the same version has another one."""
    spec = find_spec(LIBRARIES[runtime].module)
    return Path(spec.origin).stat().st_mtime_ns if spec is not None and spec.origin is not None else 0
