"""The grammar of model names: a catalogue name, or `llamacpp:`, `ik:`, `mlx:` or `hf:` before a path or a hub name.

Without a runtime, names of GGUF files leave it open, and those of `mlx-community` belong to MLX.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speculatoviz.errors import ModelError
from speculatoviz.models.files.catalogue import CATALOGUE, resolve
from speculatoviz.models.files.download import FileProgress
from speculatoviz.models.files.hub import hub_folder, hub_tokenizer
from speculatoviz.models.files.source import SourceError, is_file, is_folder, local_path

Runtime = Literal["llamacpp", "ik", "mlx", "hf"]
RUNTIMES: dict[Runtime, str] = {
    "llamacpp": "llama.cpp",
    "ik": "ik_llama.cpp",
    "mlx": "MLX-LM",
    "hf": "transformers",
}
OF_GGUF: tuple[Runtime, ...] = ("llamacpp", "ik")  # the runtimes that load GGUF files and nothing else

_OF_FOLDERS = tuple(runtime for runtime in RUNTIMES if runtime not in OF_GGUF)
_REPO = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")
_GGUF = re.compile(r".+\.gguf(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model's runtime, and where it finds the model: a catalogue name, a path, or a hub name with its revision.

    runtime: None for a GGUF file whose name leaves it open.
    """

    runtime: Runtime | None
    place: str

    @property
    def is_gguf(self) -> bool:
        """Whether the place is a file in llama.cpp's format, not a folder."""
        by_runtime = self.runtime is None or self.runtime in OF_GGUF
        return by_runtime or self.place in CATALOGUE or _GGUF.fullmatch(self.place) is not None

    def __str__(self) -> str:
        return self.place if self.runtime is None else f"{self.runtime}:{self.place}"


def parse(name: str, of_gguf: Runtime | None = None) -> ModelName:
    """The parts of a name. of_gguf: the runtime of GGUF files whose names leave it open.

    Raises ModelError for a folder or repository whose name leaves the runtime open, or a name of nothing.
    """
    scheme, colon, place = name.partition(":")
    if colon and scheme in RUNTIMES:
        return ModelName(scheme, place)
    if name in CATALOGUE or _GGUF.fullmatch(name):
        return ModelName(of_gguf, name)
    if name.startswith("mlx-community/"):
        return ModelName("mlx", name)
    if name and (is_folder(local_path(name)) or _REPO.fullmatch(name)):
        raise ModelError(
            f"{name!r} does not say which runtime is to load it.",
            f"Write {' or '.join(f'{runtime}:{name}' for runtime in _OF_FOLDERS)}.",
        )
    raise ModelError(f"There is no model {name!r} (tried: the catalogue).", known())


def known() -> str:
    """The names that can be used, for the hints of errors."""
    schemes = _either(f"{runtime}:" for runtime in RUNTIMES)
    return (
        f"Known names: {', '.join(CATALOGUE)}. Or write {schemes} before a local file or folder or a hub name "
        "(owner/repo, for llamacpp: and ik: owner/repo/file.gguf, each with @revision if need be)."
    )


def _either(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}"


def locate(name: ModelName, cache_dir: Path | str, progress: FileProgress) -> Path:
    """The GGUF file or the folder that `name` stands for, downloaded first if need be.

    Raises ModelError with what was tried.
    """
    if name.runtime is None or name.is_gguf:
        return resolve(str(name), cache_dir, progress)
    folder = local_path(name.place)
    if name.place and (is_folder(folder) or is_file(folder)):
        return _model_folder(folder.absolute(), name.runtime)
    tried = [f"no folder {folder.absolute()}"] if name.place else []
    if match := _REPO.fullmatch(name.place):
        try:
            found = hub_folder(match["repo"], match["revision"], lambda d, t: progress("downloading", d, t))
            return _model_folder(found, name.runtime)
        except SourceError as error:
            tried.append(f"hub repository {match['repo']}@{match['revision'] or 'main'}: {error}")
    because = f" (tried: {'; '.join(tried)})" if tried else ""
    raise ModelError(f"There is no model {str(name)!r}{because}.", known())


def tokenizer_folder(name: ModelName, progress: FileProgress) -> Path:
    """The folder with the tokenizer of a model that is no GGUF file. Of a hub repository no weights are fetched.

    Raises ModelError with what was tried.
    """
    if name.place and is_folder(folder := local_path(name.place)):
        return folder.absolute()
    if match := _REPO.fullmatch(name.place):
        try:
            return hub_tokenizer(match["repo"], match["revision"], lambda d, t: progress("downloading", d, t))
        except SourceError as error:
            because = f" (tried: hub repository {match['repo']}@{match['revision'] or 'main'}: {error})"
            raise ModelError(f"There is no tokenizer {str(name)!r}{because}.", known()) from error
    raise ModelError(f"There is no tokenizer {str(name)!r} (tried: no such folder).", known())


def _model_folder(folder: Path, runtime: Runtime) -> Path:
    """The folder itself. Raises ModelError if it is not a model with safetensors."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is a file, and {RUNTIMES[runtime]} loads a folder.",
            "Name the folder that holds config.json and the weights"
            + (", or a file that ends in .gguf." if runtime == "hf" else "."),
        )
    if not is_file(folder / "config.json"):
        raise ModelError(f"{folder} holds no config.json.", "Name the folder of a model as published on the hub.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} holds no safetensors weights.",
            "Choose a model that has them: other formats can run code when they are loaded.",
        )
    return folder
