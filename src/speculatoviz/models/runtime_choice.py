"""Which runtime loads a GGUF file whose name leaves it open: the fastest one on this machine that can do what is asked.

A target verifies n + 1 rows after n drafted tokens. Its runtime is the one with the highest expected rate at the
best of the measured depths n, at a reference acceptance a (`core.theory`):

    max over n of  (1 - a^(n+1)) / (1 - a)  /  (n * draft_ms + pass_ms[n + 1])

A draft model computes one row at a time, so its runtime is the one with the shortest pass over one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from speculatoviz.core.theory import expected_tps
from speculatoviz.errors import ModelError
from speculatoviz.models.base import RuntimeChoice
from speculatoviz.models.files.download import FileProgress
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import OF_GGUF, RUNTIMES, Runtime
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.libraries import gguf_runtimes
from speculatoviz.models.row_times import PassMs, all_kept, require_memory, row_times

ACCEPTANCE = 0.8  # of a drafted token
_CLEARLY = 0.95  # llama.cpp stays, unless another one takes less than this share of its time


@dataclass(frozen=True, slots=True)
class Use:
    """What a model is loaded for.

    drafts: it computes one row at a time; otherwise it verifies drafts. draft_ms: the milliseconds of one token of its
    draft model, 0 without one. hidden_for: what reads its hidden states ("the drafter eagle"), None if nothing does.
    layers: the inputs of its inner layers are read too.
    """

    drafts: bool = False
    draft_ms: float = 0.0
    hidden_for: str | None = None
    layers: bool = False


TO_VERIFY = Use()


@dataclass(frozen=True, slots=True)
class Candidates:
    """The runtimes that may load a file: their measured passes, and why each other one may not."""

    times: Mapping[Runtime, PassMs]
    refused: Mapping[Runtime, ModelError] = field(default_factory=dict)


def choose_runtime(
    path: Path,
    use: Use,
    threads: int,
    cache_dir: Path,
    progress: FileProgress,
    source: Path | None = None,
    *,
    verified: bool = False,
) -> tuple[Runtime, RuntimeChoice]:
    """The runtime that is to load a file, and the reason. Nothing is timed if only one comes into question.

    threads: of a forward pass. progress: called before each measurement. source: of a trimmed file, the one that it is
    made of. verified: llama.cpp is known to load the file. Raises ModelError if no runtime is installed, or none can
    load the file.
    """
    runtimes = gguf_runtimes()
    if len(runtimes) == 1:
        return runtimes[0], RuntimeChoice("no other runtime for GGUF files is installed")
    file = read(path)
    progress("checking", 0, 1)
    able, refused = _that_load(file, runtimes, cache_dir, source, verified=verified)
    if len(able) == 1:
        return able[0], RuntimeChoice(reason(able[0], Candidates({}, refused), use))
    watched = use.hidden_for is not None
    candidates = measure_candidates(file, able, threads, cache_dir, progress, source, watched=watched)
    candidates = Candidates(candidates.times, {**refused, **candidates.refused})
    chosen = fastest(candidates.times, use)
    return chosen, RuntimeChoice(reason(chosen, candidates, use), _by_title(candidates.times))


def _that_load(
    file: GgufFile, runtimes: Sequence[Runtime], cache_dir: Path, source: Path | None, *, verified: bool
) -> tuple[list[Runtime], dict[Runtime, ModelError]]:
    """The runtimes that can load a file now, and why each other one cannot. Raises the first error if none can."""
    able: list[Runtime] = []
    refused: dict[Runtime, ModelError] = {}
    for runtime in runtimes:
        try:
            require_memory(file, runtime)
            known = verified and runtime == "llamacpp"
            require_loadable(file.path, cache_dir, runtime, verified=known, source=source)
            able.append(runtime)
        except ModelError as error:
            refused[runtime] = error
    if not able:
        raise refused[runtimes[0]]
    return able, refused


def measure_candidates(
    file: GgufFile,
    runtimes: Sequence[Runtime],
    threads: int,
    cache_dir: Path,
    progress: FileProgress,
    source: Path | None = None,
    *,
    anew: bool = False,
    watched: bool = False,
) -> Candidates:
    """Time passes on each of the runtimes, all of which load the file. Raises the first one's ModelError if none can.

    anew: also if there are kept times. watched: of a model whose states are read (`row_times`).
    """
    times: dict[Runtime, PassMs] = {}
    refused: dict[Runtime, ModelError] = {}
    for done, runtime in enumerate(runtimes):
        progress(f"timing passes on {RUNTIMES[runtime]}", done, len(runtimes))
        try:
            times[runtime] = row_times(file, runtime, threads, cache_dir, source, anew=anew, watched=watched).pass_ms
        except ModelError as error:
            refused[runtime] = error
    if not times:
        raise refused[runtimes[0]]
    return Candidates(times, refused)


def measure_anew(
    path: Path,
    runtimes: Sequence[Runtime],
    threads: int,
    cache_dir: Path,
    progress: FileProgress,
    source: Path | None = None,
) -> Candidates:
    """Time passes again on every one of the runtimes that can load a file. Raises ModelError if none can."""
    file = read(path)
    able, refused = _that_load(file, runtimes, cache_dir, source, verified=False)
    found = measure_candidates(file, able, threads, cache_dir, progress, source, anew=True)
    return Candidates(found.times, {**refused, **found.refused})


class Compared(NamedTuple):
    """The kept times of one file. threads: of a pass."""

    path: Path
    threads: int
    times: Mapping[Runtime, PassMs]


def compared(cache_dir: Path) -> list[Compared]:
    """The kept times of this machine, by file and threads, runtimes in the order in which they are chosen from."""
    found: dict[tuple[Path, int], dict[Runtime, PassMs]] = {}
    for kept in sorted(all_kept(cache_dir), key=lambda kept: OF_GGUF.index(kept.runtime)):
        found.setdefault((kept.path, kept.threads), {})[kept.runtime] = kept.pass_ms
    return [Compared(path, threads, times) for (path, threads), times in sorted(found.items(), key=lambda i: i[0])]


def fastest(times: Mapping[Runtime, PassMs], use: Use) -> Runtime:
    """The runtime with the highest expected rate for a use. The first one, unless another one is clearly faster."""
    first, *others = times
    best = max(others, key=lambda runtime: rate(times[runtime], use), default=first)
    return best if rate(times[best], use) * _CLEARLY > rate(times[first], use) else first


def rate(pass_ms: PassMs, use: Use) -> float:
    """Expected tokens per second: of a draft one row at a time, of a target at the best measured depth."""
    depths = [0] if use.drafts else [rows - 1 for rows in pass_ms]
    return max(expected_tps(ACCEPTANCE, depth, use.draft_ms, pass_ms) for depth in depths)


def reason(chosen: Runtime, candidates: Candidates, use: Use) -> str:
    """Why a runtime was chosen, as a clause: "4 rows cost 1.8 single passes, 2.9 on llama.cpp"."""
    others = [runtime for runtime in candidates.times if runtime != chosen]
    clauses = [_compared(candidates.times[chosen], candidates.times[runtime], runtime, use) for runtime in others]
    return "; ".join([*clauses, *(error.message.removesuffix(".") for error in candidates.refused.values())])


def _compared(chosen_ms: PassMs, other_ms: PassMs, other: Runtime, use: Use) -> str:
    """What decides: of a draft the time of one row, of a target also the cost of four."""
    title = RUNTIMES[other]
    stays = f"{title} is not clearly faster: " if rate(other_ms, use) > rate(chosen_ms, use) else ""
    single = f"one row takes {chosen_ms[1]:.1f} ms, {other_ms[1]:.1f} ms on {title}"
    if use.drafts:
        return stays + single
    cost, other_cost = chosen_ms[4] / chosen_ms[1], other_ms[4] / other_ms[1]
    return f"{stays}4 rows cost {cost:.1f} single passes, {other_cost:.1f} on {title}; {single}"


def _by_title(times: Mapping[Runtime, PassMs]) -> Mapping[str, PassMs]:
    return {RUNTIMES[runtime]: pass_ms for runtime, pass_ms in times.items()}
