"""How often a target would accept tokens of versions of its draft model, measured once in a child process, and kept.

At temperature 1 a token that is drawn from q is accepted with probability sum_x min(p(x), q(x)) (Leviathan et al. 2023,
section 3.1). Its mean over the positions of one built-in text compares versions of a draft model with each other; the
acceptance on other texts is another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError, ModelError, SpeculatoVizError
from speculatoviz.measure.text import PASSAGE
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel
from speculatoviz.models.files.child import ending, run_child
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.gguf_log import capture_log
from speculatoviz.models.gguf_runtimes import gguf_library, open_gguf
from speculatoviz.models.gguf_trial import file_hash
from speculatoviz.models.libraries import build_of

_TOKENS = 256  # of the text
_SKIPPED = 16  # positions at its beginning, where little is known yet
_START_S, _BYTES_PER_S = 120.0, 2e6  # how long a child may take
_VERSION = 1  # of this measurement
_REPORT = "speculatoviz: "  # begins the line of stdout with the result


@dataclass(frozen=True, slots=True)
class File:
    """A GGUF file on a runtime. source: of a trimmed file, the one that it is made of."""

    path: Path
    runtime: Runtime
    source: Path | None = None


def acceptance(target: File, drafts: Sequence[File], threads: int, cache_dir: Path) -> list[float]:
    """The mean of sum min(p, q) for each of the drafts: the kept figures, else measured now, each file loaded in turn.

    threads: of a forward pass. Raises ModelError if a file cannot be loaded, or if draft and target have other tokens.
    """
    kept = [_kept_path(target, draft, cache_dir) for draft in drafts]
    found = [_read(path) for path in kept]
    missing = [place for place, value in enumerate(found) if value is None]
    if missing:
        measured = _measured(target, [drafts[place] for place in missing], threads)
        for place, value in zip(missing, measured, strict=True):
            found[place] = value
            _write(kept[place], drafts[place], value)
    return [value for value in found if value is not None]


def mean_overlap(p: Floats, q: Floats) -> float:
    """The mean over rows of sum_x min(p(x), q(x)), from logits float[n, V]; minus infinity is no probability."""
    return float(np.mean([np.minimum(_probs(row), _probs(other)).sum() for row, other in zip(p, q, strict=True)]))


def _probs(logits: Floats) -> Floats:
    weights: Floats = np.exp(logits.astype(np.float64) - logits.max())
    weights /= weights.sum()
    return weights


def _kept_path(target: File, draft: File, cache_dir: Path) -> Path:
    digest = hashlib.sha256(str(_VERSION).encode())
    for file in (target, draft):
        digest.update(f" {build_of(file.runtime)} {file_hash(read(file.path))}".encode())
    return cache_dir / "draft_acceptance" / f"{digest.hexdigest()[:24]}.json"


def _read(path: Path) -> float | None:
    try:
        value = float(json.loads(path.read_text(encoding="utf-8"))["acceptance"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return value if 0.0 <= value <= 1.0 else None


def _write(path: Path, draft: File, value: float) -> None:
    part = path.with_suffix(".part")
    with contextlib.suppress(OSError):  # a folder that cannot be written costs the memory, not the measurement
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({"draft": str(draft.path), "acceptance": value}, indent=1), encoding="utf-8")
        part.replace(path)


def _measured(target: File, drafts: Sequence[File], threads: int) -> list[float]:
    files = [target, *drafts]
    asked = [[str(file.path), file.runtime, str(file.source) if file.source else None] for file in files]
    seconds = _START_S + sum(file.path.stat().st_size for file in files) / _BYTES_PER_S
    child = run_child(__name__, json.dumps(asked), str(threads), timeout_s=seconds)
    reports = [line.removeprefix(_REPORT) for line in child.stdout.splitlines() if line.startswith(_REPORT)]
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        report = json.loads(reports[-1])
        if "message" in report:
            raise ModelError(report["message"], report["hint"])
        values = [float(value) for value in report["acceptance"]]
        if child.returncode == 0 and len(values) == len(drafts):
            return values
    raise ModelError(
        f"Versions of a draft could not be compared: the process that tried ended with {ending(child)}.",
        "Name a quantisation instead of auto.",
    )


# --- the child process --------------------------------------------------------------------------------


def _main(asked: str, threads: str) -> int:
    files = [File(Path(path), runtime, Path(source) if source else None) for path, runtime, source in json.loads(asked)]
    try:
        for runtime in sorted({file.runtime for file in files}):
            capture_log(gguf_library(runtime)).echo = True
        ids, p = _target_rows(files[0], int(threads))
        values = []
        for draft in files[1:]:
            with _loaded(draft, int(threads)) as model:
                if model.tokenizer.n_vocab < max(ids) + 1:
                    raise ModelError("The draft model lacks tokens of the target.", "Choose two models of one family.")
                q = _rows(model, ids)
                used = min(p.shape[1], q.shape[1])
                values.append(mean_overlap(p[:, :used], q[:, :used]))
    except SpeculatoVizError as error:
        print(_REPORT + json.dumps({"message": error.message, "hint": error.hint}), flush=True)
        return 1
    print(_REPORT + json.dumps({"acceptance": values}), flush=True)
    return 0


def _target_rows(target: File, threads: int) -> tuple[list[int], Floats]:
    """The ids of the text, and the target's logits float32[n, V] after them."""
    with _loaded(target, threads) as model:
        try:
            ids = [*model.tokenizer.beginning, *model.tokenizer.encode(PASSAGE, special=False)][:_TOKENS]
        except BadRequestError as error:
            raise ModelError(error.message, "Name a quantisation instead of auto.") from error
        return ids, _rows(model, ids)


@contextlib.contextmanager
def _loaded(file: File, threads: int) -> Iterator[LanguageModel]:
    model = open_gguf(file.runtime, file.path, _TOKENS, threads, source=file.source)
    try:
        yield model
    finally:
        model.close()


def _rows(model: LanguageModel, ids: Sequence[int]) -> Floats:
    """The logits after every token of a text but the first ones."""
    context = model.open(len(ids))
    bounds = [0, _SKIPPED, *range(_SKIPPED + PREFILL_TOKENS, len(ids), PREFILL_TOKENS), len(ids)]
    rows = [
        np.array(model.forward([Feed(context, ids[begin:end], "all" if begin else "last")])[0].logits)
        for begin, end in pairwise(bounds)
    ]
    context.close()
    return np.concatenate(rows[1:])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main(*sys.argv[1:]))
    sys.exit(130)
