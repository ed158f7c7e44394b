"""From a model's name to a loaded model or tokenizer. A runtime is imported only if it is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, LocalTokenizer
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.config import MOST, read_config, text_config
from speculatoviz.models.files.names import OF_GGUF, ModelName, Runtime, locate, parse, tokenizer_folder
from speculatoviz.models.files.source import is_file, local_path
from speculatoviz.models.gguf_runtimes import open_gguf, open_vocabulary
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.libraries import gguf_runtimes, not_installed, require_installed
from speculatoviz.models.runtime_choice import TO_VERIFY, Candidates, Use, choose_runtime, measure_anew

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Loading:
    """How models are loaded on this machine.

    context_tokens: what all contexts of a model hold together. cache_dir: of downloaded and derived files. threads: of
    a forward pass, by default all cores. device, dtype: of transformers, auto or PyTorch's names. runtime: of GGUF
    files whose names leave it open; None for the one that is fastest for `use`.
    """

    context_tokens: int
    cache_dir: Path
    threads: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    runtime: Runtime | None = None
    use: Use = TO_VERIFY


def load_model(
    name: str, how: Loading, quantisation: str | None, progress: Report, vocabulary: int | None = None
) -> LanguageModel:
    """Load the model that the name stands for, or `toy:SEED`, fetched first if need be.

    quantisation: a type to requantise the GGUF file to, once. vocabulary: about how many tokens it has logits for, the
    most frequent ones (`files/trim.py`); None for all. progress: called with a stage, how far it has come, and its end
    (0 if unknown). Raises ModelError if there is no such model, or it cannot be loaded.
    """
    if name.startswith("toy:"):
        _refuse_to_change(name, None, vocabulary)
        return _toy(name)
    parsed = parse(name, how.runtime)
    _require(parsed)
    if not _on_gguf_runtime(parsed):
        _refuse_to_change(name, quantisation, vocabulary)
    _share_cores()
    if _on_gguf_runtime(parsed):
        _quiet_numpy()
        return _load_gguf(parsed, how, quantisation, vocabulary, progress)
    assert parsed.runtime is not None
    try:
        return _load(parsed, parsed.runtime, how, progress)
    except ImportError as error:
        raise not_installed(parsed.runtime, error) from error


def _refuse_to_change(name: str, quantisation: str | None, vocabulary: int | None) -> None:
    """Raises ModelError for what can be asked of GGUF files alone."""
    if quantisation is not None:
        raise ModelError(
            f"{name} cannot be requantised: only GGUF files on llama.cpp or ik_llama.cpp can.",
            "Leave the quantisation out, or choose a model that comes quantised.",
        )
    if vocabulary is not None:
        raise ModelError(
            f"The vocabulary of {name} cannot be trimmed: only that of GGUF files on llama.cpp or ik_llama.cpp can.",
            "Leave --draft-vocabulary out, or choose a GGUF file.",
        )


def load_cheaper(name: str, how: Loading, by: str, progress: Report) -> LanguageModel | None:
    """A cheaper version of a GGUF model, to draft for it.

    by: a quantisation, the share of its layers to keep, in (0, 1), or its first layers, as `exit_layers` reads them.
    None for the first layers of a model that is not loaded as a GGUF file: they are a part of it. Raises ModelError
    like `load_model`.
    """
    parsed, first = parse(name, how.runtime), exit_layers(by)
    if not _on_gguf_runtime(parsed):
        if first is not None:
            return None
        raise ModelError(f"{name} has no cheaper version here: only GGUF files do.", "Choose another drafter.")
    if first is None and not _is_share(by):
        return load_model(name, how, by, progress)
    from speculatoviz.models.files.skip import skip_layers

    _require(parsed)
    path = locate(parsed, how.cache_dir, progress)
    progress("skipping layers", 0, 1)
    if first is not None:
        shorter = skip_layers(path, range(first), how.cache_dir)
        return _open_gguf(parsed, shorter, how, f"{name}, its first {first} layers", progress)
    shorter = skip_layers(path, float(by), how.cache_dir)
    return _open_gguf(parsed, shorter, how, f"{name}, {float(by):.0%} of its layers", progress)


def exit_layers(by: str) -> int | None:
    """How many first layers `first:N` names; None for anything else."""
    count = by.removeprefix("first:")
    return int(count) if count != by and count.isdecimal() else None


def _is_share(text: str) -> bool:
    try:
        return 0.0 < float(text) < 1.0
    except ValueError:
        return False


def _load(parsed: ModelName, runtime: Runtime, how: Loading, progress: Report) -> LanguageModel:
    """A model on MLX-LM or transformers."""
    shown = None if parsed.place.startswith(("/", ".", "~")) else parsed.place
    match runtime:
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
                reader, verified = gguf_runtimes()[0], parsed.place in CATALOGUE
                require_loadable(source, how.cache_dir, reader, vocabulary_only=True, verified=verified)
            progress("loading", 0, 1)
            return TransformersModel(
                source, how.context_tokens, how.threads, device=how.device, dtype=how.dtype, name=shown
            )
        case "llamacpp" | "ik":
            raise AssertionError(f"{runtime} is opened by _load_gguf")


def _load_gguf(
    parsed: ModelName, how: Loading, quantisation: str | None, vocabulary: int | None, progress: Report
) -> LanguageModel:
    """A model on llama.cpp or ik_llama.cpp."""
    path, source = _gguf_files(parsed, how, quantisation, vocabulary, progress)
    shown = parsed.place if parsed.place in CATALOGUE else None
    verified = quantisation is None and parsed.place in CATALOGUE and source is None
    return _open_gguf(parsed, path, how, shown, progress, verified=verified, source=source)


def _gguf_files(
    parsed: ModelName, how: Loading, quantisation: str | None, vocabulary: int | None, progress: Report
) -> tuple[Path, Path | None]:
    """The file to load and, if its vocabulary is trimmed, the file that it was made of."""
    path = gguf_file(parsed, how, quantisation, progress)
    if vocabulary is None:
        return path, None
    from speculatoviz.models.files.trim import trim

    progress("trimming the vocabulary", 0, 1)
    trimmed = trim(path, vocabulary, how.cache_dir)
    return trimmed, None if trimmed == path else path


def _open_gguf(
    parsed: ModelName,
    path: Path,
    how: Loading,
    shown: str | None,
    progress: Report,
    *,
    verified: bool = False,
    source: Path | None = None,
) -> LanguageModel:
    """Choose the runtime if the name leaves it open, try the file on it, and load it.

    verified: llama.cpp is known to load the file. ik_llama.cpp comes compiled: it may not run on this processor at all.
    source: of a trimmed file, the one that it is made of.
    """
    runtime, choice = parsed.runtime, None
    if runtime is None:
        threads = how.threads or usable_cores()
        runtime, choice = choose_runtime(path, how.use, threads, how.cache_dir, progress, source, verified=verified)
    progress("checking", 0, 1)
    require_loadable(path, how.cache_dir, runtime, verified=verified and runtime != "ik", source=source)
    progress("loading", 0, 1)
    try:
        hidden, layers = how.use.hidden_for is not None, how.use.layers
        model = open_gguf(runtime, path, how.context_tokens, how.threads, shown, source, hidden=hidden, layers=layers)
    except ImportError as error:
        raise not_installed(runtime, error) from error
    model.description = replace(model.description, choice=choice)
    return model


def measure_runtimes(
    name: str, how: Loading, quantisation: str | None, progress: Report, vocabulary: int | None = None
) -> tuple[Path, Candidates]:
    """Time passes of a GGUF model anew on every installed runtime that loads it, or on the one that is named.

    Returns the file and what was found; later loads choose from it. Arguments and errors as for `load_model`.
    """
    parsed = parse(name, how.runtime)
    if not _on_gguf_runtime(parsed):
        raise ModelError(f"{name} is not loaded as a GGUF file.", "Name a GGUF file, or a model of the catalogue.")
    _require(parsed)
    _share_cores()
    path, source = _gguf_files(parsed, how, quantisation, vocabulary, progress)
    runtimes = gguf_runtimes() if parsed.runtime is None else [parsed.runtime]
    threads = how.threads or usable_cores()
    found = measure_anew(path, runtimes, threads, how.cache_dir, progress, source)
    return path, found


def gguf_file(parsed: ModelName, how: Loading, quantisation: str | None, progress: Report) -> Path:
    """The file of a GGUF model: fetched and requantised. Raises ModelError."""
    source = locate(parsed, how.cache_dir, progress)
    if quantisation is None:
        return source
    from speculatoviz.models.requantise import requantise

    progress("requantising", 0, 1)
    return requantise(source, quantisation, how.cache_dir, how.threads or usable_cores(), gguf_runtimes()[0])


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
    reader = parsed.runtime if parsed.runtime in OF_GGUF else gguf_runtimes()[0]
    require_installed(reader)
    source = locate(parsed, how.cache_dir, progress)
    verified = parsed.place in CATALOGUE and reader != "ik"
    require_loadable(source, how.cache_dir, reader, vocabulary_only=True, verified=verified)
    return open_vocabulary(reader, source)


def _folder_tokenizer(folder: Path) -> LocalTokenizer:
    """The tokenizer of a folder. Its n_vocab is the vocab_size of config.json, else the number of its ids."""
    try:
        from speculatoviz.models.tokenizers.hub import HubTokenizer
    except ImportError as error:
        raise not_installed("hf", error) from error
    rows = text_config(read_config(folder)).get("vocab_size") if is_file(folder / "config.json") else None
    if rows is None:
        rows = 1 + max((entry.id for entry in HubTokenizer(folder, MOST["vocab_size"]).entries()), default=0)
    return HubTokenizer(folder, rows)


def _on_gguf_runtime(parsed: ModelName) -> bool:
    return parsed.runtime is None or parsed.runtime in OF_GGUF


def _require(parsed: ModelName) -> None:
    """Before anything is fetched. Raises ModelError unless the runtime, or one for GGUF files, is installed."""
    if parsed.runtime is None:
        gguf_runtimes()
    else:
        require_installed(parsed.runtime)


def _share_cores() -> None:
    """Make llama.cpp's threads spin briefly at a barrier, then sleep. Has to come before its OpenMP runtime is loaded.

    A pass has some hundred barriers. Threads that spin long keep a browser or another process from running, and lose
    their own time slices to it: on two busy cores a pass then takes several times as long. A short spin costs about two
    percent on idle cores.

    GNU's runtime counts the threads of all that ever called it. Where they are more than the cores, as in a server
    whose runs compute in threads of their own, it lets them spin only a hundred times, so that every barrier sleeps:
    a token of SmolLM2 took 30 ms instead of 10. With the policy `active` that limit is a thousand.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        if sys.platform == "linux":
            os.environ.setdefault("KMP_BLOCKTIME", "1")  # Intel's runtime would spin for ever
            os.environ["OMP_WAIT_POLICY"] = "active"


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
