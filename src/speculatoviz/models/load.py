"""From a model's name to a loaded model or tokenizer. A runtime is imported only if it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, LocalTokenizer
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.config import MOST, read_config, text_config
from speculatoviz.models.files.names import OF_GGUF, RUNTIMES, ModelName, Runtime, locate, parse, tokenizer_folder
from speculatoviz.models.files.source import is_file, local_path
from speculatoviz.models.gguf_trial import require_loadable

# Of each runtime: its library, and the argument of pip that installs it.
_NEEDS: dict[Runtime, tuple[str, str]] = {
    "llamacpp": ("llama_cpp", "llama-cpp-python"),
    "ik": ("ik_llama_cpp", "'speculatoviz[ik]'"),
    "mlx": ("mlx_lm", "'speculatoviz[mlx]'"),
    "hf": ("torch", "'speculatoviz[hf]'"),
}


@dataclass(frozen=True, slots=True)
class Loading:
    """How models are loaded on this machine.

    context_tokens: what all contexts of a model hold together. cache_dir: of downloaded and derived files. threads: of
    a forward pass, by default all cores. device, dtype: of transformers, auto or PyTorch's names.
    """

    context_tokens: int
    cache_dir: Path
    threads: int | None = None
    device: str = "auto"
    dtype: str = "auto"


def load_model(
    name: str, how: Loading, quantisation: str | None, progress: Callable[[str, int, int], None]
) -> LanguageModel:
    """Load the model that the name stands for, or `toy:SEED`, fetched first if need be.

    quantisation: a type to requantise the GGUF file to, once. progress: called with a stage, how far it has come, and
    its end (0 if unknown). Raises ModelError if there is no such model, or it cannot be loaded.
    """
    if name.startswith("toy:"):
        return _toy(name)
    parsed = parse(name)
    _require_installed(parsed.runtime)
    if quantisation is not None and parsed.runtime not in OF_GGUF:
        raise ModelError(
            f"{name} cannot be requantised: only GGUF files on llama.cpp or ik_llama.cpp can.",
            "Leave the quantisation out, or choose a model that comes quantised.",
        )
    _share_cores()
    if parsed.runtime in OF_GGUF:
        _quiet_numpy()
    try:
        return _load(parsed, how, quantisation, progress)
    except ImportError as error:
        raise _not_installed(parsed.runtime, error) from error


def load_cheaper(name: str, how: Loading, by: str, progress: Callable[[str, int, int], None]) -> LanguageModel:
    """A cheaper version of a GGUF model, to draft for it.

    by: a quantisation, or the share of its layers to keep, in (0, 1). Raises ModelError like `load_model`.
    """
    parsed = parse(name)
    if parsed.runtime not in OF_GGUF:
        raise ModelError(f"{name} has no cheaper version here: only GGUF files do.", "Choose another drafter.")
    if not _is_share(by):
        return load_model(name, how, by, progress)
    from speculatoviz.models.files.skip import skip_layers

    path = locate(parsed, how.cache_dir, progress)
    progress("skipping layers", 0, 1)
    shorter = skip_layers(path, float(by), how.cache_dir)
    progress("checking", 0, 1)
    require_loadable(shorter, how.cache_dir, parsed.runtime)
    progress("loading", 0, 1)
    return _open_gguf(shorter, how, parsed.runtime, f"{name}, {float(by):.0%} of its layers")


def _is_share(text: str) -> bool:
    try:
        return 0.0 < float(text) < 1.0
    except ValueError:
        return False


def _load(
    parsed: ModelName, how: Loading, quantisation: str | None, progress: Callable[[str, int, int], None]
) -> LanguageModel:
    shown = None if parsed.place.startswith(("/", ".", "~")) else parsed.place
    match parsed.runtime:
        case "mlx":
            from speculatoviz.models.runtimes.mlx import MlxModel

            folder = locate(parsed, how.cache_dir, progress)
            progress("loading", 0, 1)
            return MlxModel(folder, how.context_tokens, name=shown)
        case "hf":
            from speculatoviz.models.runtimes.transformers import TransformersModel

            source = locate(parsed, how.cache_dir, progress)
            if parsed.is_gguf:
                progress("checking", 0, 1)
                require_loadable(source, how.cache_dir, vocabulary_only=True, verified=parsed.place in CATALOGUE)
            progress("loading", 0, 1)
            return TransformersModel(
                source, how.context_tokens, how.threads, device=how.device, dtype=how.dtype, name=shown
            )
        case "llamacpp" | "ik":
            path = gguf_file(parsed, how, quantisation, progress)
            progress("loading", 0, 1)
            return _open_gguf(path, how, parsed.runtime, parsed.place if parsed.place in CATALOGUE else None)


def _open_gguf(path: Path, how: Loading, runtime: Runtime, shown: str | None) -> LanguageModel:
    if runtime == "ik":
        from speculatoviz.models.runtimes.ik import IkModel

        return IkModel(path, how.context_tokens, how.threads, shown)
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

    return LlamaCppModel(path, how.context_tokens, how.threads, shown)


def gguf_file(
    parsed: ModelName, how: Loading, quantisation: str | None, progress: Callable[[str, int, int], None]
) -> Path:
    """The file of a GGUF model: fetched, requantised, and known to load in its runtime. Raises ModelError."""
    path = source = locate(parsed, how.cache_dir, progress)
    if quantisation is not None:
        _require_installed("llamacpp")
        from speculatoviz.models.files.requantise import requantise

        progress("requantising", 0, 1)
        path = requantise(source, quantisation, how.cache_dir, how.threads or usable_cores())
    progress("checking", 0, 1)
    verified = path == source and _verified(parsed)
    require_loadable(path, how.cache_dir, parsed.runtime, verified=verified)
    return path


def _verified(parsed: ModelName) -> bool:
    """Whether the file is known to load. ik_llama.cpp comes compiled: it may not run on this processor at all."""
    return parsed.place in CATALOGUE and parsed.runtime != "ik"


def load_tokenizer(name: str, how: Loading, progress: Callable[[str, int, int], None]) -> LocalTokenizer:
    """The tokenizer of a GGUF file, a folder or a hub repository, without loading or fetching weights.

    A local folder needs no weights beside its tokenizer.json. Raises ModelError.
    """
    if name.startswith("toy:"):
        return _toy(name).tokenizer
    scheme, _, place = name.rpartition(":")
    if scheme in {"", "hf", "mlx"} and is_file(local_path(place) / "tokenizer.json"):
        return _folder_tokenizer(local_path(place))
    parsed = parse(name)
    if not parsed.is_gguf:
        return _folder_tokenizer(tokenizer_folder(parsed, progress))
    reader: Runtime = "ik" if parsed.runtime == "ik" else "llamacpp"
    _require_installed(reader)
    source = locate(parsed, how.cache_dir, progress)
    require_loadable(source, how.cache_dir, reader, vocabulary_only=True, verified=_verified(parsed))
    return _vocabulary(source, reader)


def _vocabulary(path: Path, reader: Runtime) -> LocalTokenizer:
    if reader == "ik":
        from speculatoviz.models.runtimes.ik import read_vocabulary

        return read_vocabulary(path)
    from speculatoviz.models.tokenizers.llamacpp import VocabularyFile

    return VocabularyFile(path)


def _folder_tokenizer(folder: Path) -> LocalTokenizer:
    """The tokenizer of a folder. Its n_vocab is the vocab_size of config.json, else the number of its ids."""
    try:
        from speculatoviz.models.tokenizers.hub import HubTokenizer
    except ImportError as error:
        raise _not_installed("hf", error) from error
    rows = text_config(read_config(folder)).get("vocab_size") if is_file(folder / "config.json") else None
    if rows is None:
        rows = 1 + max((entry.id for entry in HubTokenizer(folder, MOST["vocab_size"]).entries()), default=0)
    return HubTokenizer(folder, rows)


def installed() -> dict[str, str]:
    """Every runtime by its scheme: its title, and how to install it if it is missing."""
    states: dict[str, str] = {}
    for runtime, title in RUNTIMES.items():
        library, package = _NEEDS[runtime]
        there = find_spec(library) is not None
        states[runtime] = title if there else f"{title}, not installed: pip install {package}"
    return states


def _require_installed(runtime: Runtime) -> None:
    """Before anything is fetched. Raises ModelError with the command that installs it."""
    library, package = _NEEDS[runtime]
    if find_spec(library) is None:
        raise ModelError(f"{RUNTIMES[runtime]} is not installed.", f"Run `pip install {package}`.")


def _not_installed(runtime: Runtime, error: ImportError) -> ModelError:
    _, package = _NEEDS[runtime]
    return ModelError(f"{RUNTIMES[runtime]} cannot be used ({error}).", f"Run `pip install {package}`.")


def _share_cores() -> None:
    """Make llama.cpp's threads spin briefly at a barrier, then sleep. Has to come before its OpenMP runtime is loaded.

    A pass has some hundred barriers. Threads that spin long keep a browser or another process from running, and lose
    their own time slices to it: on two busy cores a pass then takes several times as long. A short spin costs about two
    percent on idle cores.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _quiet_numpy() -> None:
    """Make NumPy compute on one thread: its others spin after every product, on the cores that the next pass needs.

    The products of a head are too small to gain from them.
    """
    from threadpoolctl import ThreadpoolController  # sets a variable of the environment when it is imported

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def _toy(name: str) -> LanguageModel:
    from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel

    seed, _, mix = name.removeprefix("toy:").partition("~")
    if not seed.isdigit() or (mix and not mix.isdigit()):
        raise ModelError(f"{name!r} is not a toy model.", "Write toy:0, or toy:0~7 for one related to it.")
    return ToyModel(int(seed), ALPHABET, mix=(int(mix), 0.5) if mix else None)
