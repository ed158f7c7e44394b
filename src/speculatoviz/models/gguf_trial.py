"""Whether a runtime can load a GGUF file: its header is checked here, the rest once, in a child process.

llama.cpp and ik_llama.cpp end their process for some files: an assertion fails, an exception is not caught, memory is
not there. The child loads the file, decodes two tokens and a tree of two, and checks that their logits are finite. Its
failure becomes a ModelError. Its success is remembered in the cache folder, so that the next start hashes the header
and no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError, ModelError, SpeculatoVizError
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Context, Feed, Tokenizer, check_finite
from speculatoviz.models.files.child import ending, run_child
from speculatoviz.models.files.decoder import require_decoder, require_vocabulary
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import RUNTIMES, Runtime
from speculatoviz.models.gguf_runtimes import gguf_library, open_gguf, open_vocabulary
from speculatoviz.models.libraries import build_of
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.runtimes.trimmed import TrimmedVocabulary

_VERSION = 3  # of this check: a stricter one asks anew
_START_S, _BYTES_PER_S = 120.0, 5e6  # how long a child may take: from a slow disk, every byte once
_SPARE_BYTES = 4 << 30  # what a child may allocate beside the file
_TRIAL_TOKENS = 64  # cells of its context
_MOST_THREADS = 4  # of two tokens
_SOURCE = "--source="  # begins the argument with the file that a trimmed one is made of
_SAME_INPUT = 0.1  # total variation: far above rounding, far below what another scale of the embeddings makes
_REPORT = "speculatoviz: "  # begins the line of stdout with the child's result


def require_loadable(
    path: Path,
    cache_dir: Path | str,
    runtime: Runtime = "llamacpp",
    *,
    vocabulary_only: bool = False,
    verified: bool = False,
    source: Path | None = None,
) -> None:
    """Raises ModelError, with the cause, unless the runtime can load the file and compute finite logits with it.

    path: the file, or its first part. runtime: llamacpp or ik. cache_dir: where a success is remembered; a folder that
    cannot be written costs the memory, not the check. vocabulary_only: load its tokenizer, not its weights. verified:
    its hash is known to be that of a file that loads, so its header is checked alone. source: of a trimmed file
    (`files/trim.py`), the one that it is made of, whose embeddings the runtime has to take as it takes ids.
    """
    file = read(path)
    (require_vocabulary if vocabulary_only else require_decoder)(file)
    if verified:
        return
    memory = _Memory(Path(cache_dir).expanduser() / "loadable", file, runtime, fed=source is not None)
    if memory.has(vocabulary_only):
        return
    _try(file, runtime, vocabulary_only, source)
    memory.add(vocabulary_only)


class _Memory:
    """The files in the cache folder that record which GGUF files have loaded. What fails is not remembered."""

    def __init__(self, folder: Path, file: GgufFile, runtime: Runtime, *, fed: bool) -> None:
        """fed: whether it was tried with embeddings too."""
        self._fed = " fed" if fed else ""
        self._folder, self._file, self._runtime = folder, file, runtime
        self._hash = self._hashed()

    def has(self, vocabulary_only: bool) -> bool:
        """Whether such a file has loaded; one that has loaded whole has a vocabulary that loads."""
        try:
            return self._whole.is_file() or (vocabulary_only and self._vocabulary.is_file())
        except OSError:
            return False

    def add(self, vocabulary_only: bool) -> None:
        path = self._vocabulary if vocabulary_only else self._whole
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{self._file.path.name}\n", encoding="utf-8", errors="replace")  # for people

    @property
    def _whole(self) -> Path:
        return self._folder / self._hash

    @property
    def _vocabulary(self) -> Path:
        return self._folder / f"{self._hash}.vocabulary"

    def _hashed(self) -> str:
        """Of what a success depends on: the library's build and the file."""
        return hashlib.sha256(
            f"{_VERSION}{self._fed} {build_of(self._runtime)} {file_hash(self._file)}".encode()
        ).hexdigest()


def file_hash(file: GgufFile) -> str:
    """A hash of header, size and time of every part: a changed file has another one. The weights are not read."""
    digest = hashlib.sha256()
    for part, header in zip(file.parts, file.headers, strict=True):
        stat = part.stat()
        digest.update(f"\n{stat.st_size} {stat.st_mtime_ns} {len(header)}\n".encode() + header)
    return digest.hexdigest()


def _try(file: GgufFile, runtime: Runtime, vocabulary_only: bool, source: Path | None) -> None:
    """Load the file in a child process. Raises ModelError with what the child reported, or how it ended."""
    flags = ["--vocabulary"] if vocabulary_only else [] if source is None else [_SOURCE + str(source)]
    child = run_child(__name__, str(file.path), runtime, *flags, timeout_s=_START_S + file.size_bytes / _BYTES_PER_S)
    reports = [line.removeprefix(_REPORT) for line in child.stdout.splitlines() if line.startswith(_REPORT)]
    if child.returncode == 0 and reports:
        return
    if reports:
        raise ModelError(**json.loads(reports[-1]))
    remedy = "Choose another file of this model, or fetch it again: its header or its weights are damaged or unusual."
    if child.returncode == -signal.SIGILL:
        remedy = "Its kernels need instructions that this processor lacks: load the file with another runtime."
    raise ModelError(
        f"{RUNTIMES[runtime]} cannot load {file.path}: the process that tried ended with {ending(child)}.", remedy
    )


# --- the child process --------------------------------------------------------------------------------


def _main(path: str, runtime: Runtime, *flags: str) -> int:
    from speculatoviz.models.gguf_log import capture_log

    try:
        lib = gguf_library(runtime)
        capture_log(lib).echo = True
        _limit_memory(Path(path), lib)
        if "--vocabulary" in flags:
            _use(open_vocabulary(runtime, Path(path)))
        else:
            sources = [Path(flag.removeprefix(_SOURCE)) for flag in flags if flag.startswith(_SOURCE)]
            _load_and_decode(Path(path), runtime, next(iter(sources), None))
    except SpeculatoVizError as error:
        print(_REPORT + json.dumps({"message": error.message, "hint": error.hint}), flush=True)
        return 1
    print(_REPORT + "{}", flush=True)
    return 0


def _limit_memory(path: Path, lib: Any) -> None:
    """A header can ask for any amount: without a limit the child could starve the machine.

    Not if GPUs are used: their drivers reserve more than they take. Systems without such limits do without.
    """
    if lib.llama_supports_gpu_offload():
        return
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        most = _SPARE_BYTES + read(path).size_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _load_and_decode(path: Path, runtime: Runtime, source: Path | None) -> None:
    threads = min(_MOST_THREADS, usable_cores())
    model = open_gguf(runtime, path, _TRIAL_TOKENS, threads, source=source, trial=True)
    _use(model.tokenizer)
    last = model.tokenizer.n_vocab - 1
    context = model.open(_TRIAL_TOKENS // 2)
    trees = "trees" in model.provides
    for feed in (
        Feed(context, [last // 2, min(1, last)]),
        Feed(context, [last, 0], parents=[-1, -1] if trees else None, hidden="hidden" in model.provides),
    ):
        check_finite(model.forward([feed])[0].logits, path.name)
    context.keep(2, [1] if trees else [])
    if model.trimmed is not None:
        _check_embeddings(model, model.trimmed, context)
    model.close()


def _check_embeddings(model: SequenceModel, trimmed: TrimmedVocabulary, context: Context) -> None:
    """Raises ModelError unless tokens that are fed as embeddings give the logits of the same tokens fed as ids.

    Some architectures scale the embeddings of ids, or look ids up in further matrices.
    """
    probs: list[Floats] = []
    for trimmed.embeds_all in (False, True):
        context.keep(0)
        logits = model.forward([Feed(context, trimmed.kept[:8].tolist())])[0].logits
        probs.append(np.exp(logits - logits.max(axis=1, keepdims=True)))
        probs[-1] /= probs[-1].sum(axis=1, keepdims=True)
    if 0.5 * np.abs(probs[0] - probs[1]).sum(axis=1).max() > _SAME_INPUT:
        raise ModelError(
            f"{model.title} treats the embeddings of {model.path.name} in another way than its tokens.",
            "Leave --draft-vocabulary out, or choose another draft model.",
        )


def _use(tokenizer: Tokenizer) -> None:
    """Read every token, and encode some texts: vocabularies fail when they are used."""
    _ = tokenizer.fingerprint, tokenizer.has_chat_template
    names = "".join(tokenizer.token_name(token) for token in sorted(tokenizer.eos_ids))
    for text in ("Some text, 12 + 30.\n\tna\N{LATIN SMALL LETTER I WITH DIAERESIS}ve \N{ROCKET}", "\0\x7f", names):
        for special in (True, False):
            with contextlib.suppress(BadRequestError):  # a character without a token
                tokenizer.encode(text, special=special)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main(*sys.argv[1:]))  # type: ignore[arg-type]
    sys.exit(130)
