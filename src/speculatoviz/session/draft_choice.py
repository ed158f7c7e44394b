"""Which version of a draft model drafts fastest for its target on this machine (`--draft-quantisation auto`).

A version with fewer bits costs less for each token, and is accepted less often. Its expected rate at the best of the
measured depths n is, with the acceptance a of `measure.agreement`:

    max over n of  (1 - a^(n+1)) / (1 - a)  /  (n * draft_ms + pass_ms[n + 1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import gguf

from speculatoviz.config import Profile
from speculatoviz.core.theory import expected_tps
from speculatoviz.errors import ModelError
from speculatoviz.machine import usable_cores
from speculatoviz.measure.agreement import File, acceptance
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.matrix import pass_bytes, read_by_a_pass
from speculatoviz.models.files.names import OF_GGUF, ModelName, Runtime, parse
from speculatoviz.models.files.trim import trim
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.load import Loading, Report, gguf_file
from speculatoviz.models.row_times import PassMs, row_times
from speculatoviz.models.runtime_choice import Use, choose_runtime

CANDIDATES = ("Q8_0", "Q4_0")  # made in seconds; what else was tried is in docs/performance.md
_SMALLER = 0.95  # a version that reads more than this share of the file's bytes is not tried
_CLEARLY = 1.02  # how much faster than the file itself a version has to be


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a draft model. quantisation: None for the file as it is. token_ms: of one drafted token."""

    quantisation: str | None
    token_ms: float
    acceptance: float

    @property
    def title(self) -> str:
        return self.quantisation or "the file as it is"


@dataclass(frozen=True, slots=True)
class DraftChoice:
    """reason: a sentence part ("draft: Q4_0, 8.1 ms a token instead of 13.4, acceptance 0.58 instead of 0.60")."""

    quantisation: str | None
    reason: str


def choose_draft(pair: Profile, how: Loading, vocabulary: int | None, progress: Report) -> DraftChoice:
    """The quantisation of the pair's draft model with the highest expected rate; None for the file as it is.

    vocabulary: to how many tokens every version is trimmed; None for all. Versions are compared only if target and
    draft are GGUF files on this machine. What cannot be compared is used as it is, with the cause; a file that cannot
    be loaded is refused when it is loaded.
    """
    drafts, verifies = _gguf_name(pair.draft or "", how), _gguf_name(pair.target, how)
    if drafts is None or verifies is None:
        return DraftChoice(None, "draft: as it is, since versions are compared for GGUF files on this machine only")
    try:
        return _compare(drafts, verifies, pair, how, vocabulary, progress)
    except ModelError as error:
        return DraftChoice(None, f"draft: as it is, since versions could not be compared ({error.message})")


def _compare(
    drafts: ModelName, verifies: ModelName, pair: Profile, how: Loading, vocabulary: int | None, progress: Report
) -> DraftChoice:
    whole = gguf_file(drafts, how, None, progress)
    wanted = smaller_types(read(whole))
    if not wanted:
        return DraftChoice(None, "draft: as it is, since no other type is smaller")
    runtime = _runtime(drafts, whole, how, Use(drafts=True), progress)
    files: dict[str | None, File] = {}
    for quantisation in (None, *wanted):
        path = gguf_file(drafts, how, quantisation, progress)
        files[quantisation] = _trimmed(path, runtime, how, vocabulary, progress)
    place = gguf_file(verifies, how, pair.target_quantisation, progress)
    against = File(place, _runtime(verifies, place, how, how.use, progress))
    progress("timing versions of the draft", 0, 1)
    threads = how.threads or usable_cores()
    times = [
        row_times(read(file.path), runtime, threads, how.cache_dir, file.source).pass_ms[1] for file in files.values()
    ]
    target_ms = row_times(read(place), against.runtime, threads, how.cache_dir).pass_ms
    progress("comparing versions of the draft", 0, 1)
    accepted = acceptance(against, list(files.values()), threads, how.cache_dir)
    return best_version(list(map(Version, files, times, accepted)), target_ms)


def best_version(versions: Sequence[Version], target_ms: PassMs) -> DraftChoice:
    """The fastest version. The first one is the file as it is: it stays unless another one is clearly faster.

    target_ms: milliseconds of a pass of the target, by its rows.
    """
    whole = versions[0]
    best = max(versions, key=lambda version: _rate(version, target_ms))
    if _rate(best, target_ms) < _CLEARLY * _rate(whole, target_ms):
        best = whole
    second = max(versions[1:], key=lambda version: _rate(version, target_ms))
    compared = second if best is whole else whole
    return DraftChoice(
        best.quantisation,
        f"draft: {best.title}, {best.token_ms:.1f} ms a token and acceptance {best.acceptance:.2f}; "
        f"{compared.title}: {compared.token_ms:.1f} ms and {compared.acceptance:.2f}",
    )


def smaller_types(file: GgufFile) -> list[str]:
    """The candidates of which a pass reads clearly fewer bytes than of the file."""
    return [name for name in CANDIDATES if _bytes_as(file, name) < _SMALLER * pass_bytes(file)]


def _bytes_as(file: GgufFile, name: str) -> float:
    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    return sum(prod(tensor.shape) for tensor in read_by_a_pass(file)) * size / weights


def _rate(version: Version, target_ms: PassMs) -> float:
    depths = [rows - 1 for rows in target_ms if rows > 1]
    return max(expected_tps(version.acceptance, depth, version.token_ms, target_ms) for depth in depths)


def _gguf_name(name: str, how: Loading) -> ModelName | None:
    """The parts of the name of a GGUF file on llama.cpp or ik_llama.cpp; None for any other model."""
    try:
        parsed = parse(name, how.runtime)
    except ModelError:  # a toy model or a remote target; an unknown name is refused when it is loaded
        return None
    return parsed if parsed.runtime is None or parsed.runtime in OF_GGUF else None


def _runtime(name: ModelName, path: Path, how: Loading, use: Use, progress: Report) -> Runtime:
    if name.runtime is not None:
        return name.runtime
    return choose_runtime(path, use, how.threads or usable_cores(), how.cache_dir, progress)[0]


def _trimmed(path: Path, runtime: Runtime, how: Loading, vocabulary: int | None, progress: Report) -> File:
    made = path if vocabulary is None else trim(path, vocabulary, how.cache_dir)
    progress("checking", 0, 1)
    source = None if made == path else path
    require_loadable(made, how.cache_dir, runtime, source=source)
    return File(made, runtime, source)
