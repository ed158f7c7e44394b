"""Targets whose logits do not depend on how their tokens were fed (`--batch-invariant`): configured, and proven.

What was proven of a file is kept in the cache folder, for one machine, build of the library, file and setting. Later
starts configure the model alike and check a few passes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speculatoviz.core.progress import Progress
from speculatoviz.errors import BadRequestError, ModelError
from speculatoviz.machine import processor, usable_cores
from speculatoviz.measure.invariance import CHECKED_TOKENS, LEAST_ROOM, TOKENS, Departure, Proof, ShapeComparer
from speculatoviz.measure.text import PASSAGE
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.gguf import read
from speculatoviz.models.gguf_trial import file_hash
from speculatoviz.models.invariant import InvariantModel
from speculatoviz.models.kernels import CANDIDATES, Kernels
from speculatoviz.models.libraries import build_of
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.tokenizers.chat import encode_raw

_VERSION = 1  # of the proof: a stricter one asks anew
_PROVING = "proving batch invariance"
_ANY_TEXT = 32  # ids of a vocabulary that cannot encode the passage


def batch_invariant(model: LanguageModel, cache_dir: Path, progress: Progress) -> tuple[LanguageModel, Proof]:
    """The model in the cheapest configuration whose logits do not depend on passes, and the proof of it.

    model: just loaded, without contexts; it is closed with the result. cache_dir: where proofs are kept. progress: what
    it raises ends the proof. Raises ModelError, and closes the model, if there is no such configuration.
    """
    try:
        if isinstance(model, SequenceModel):
            return _configured(model, cache_dir, progress)
        comparer = _comparer(model, TOKENS, progress)
        compared = comparer.compare()
        if compared.chains is not None:
            raise _refusal(model, str(compared.chains))
        if compared.trees is not None:
            raise _refusal(model, str(compared.trees))
    except BaseException:
        model.close()
        raise
    return model, Proof(comparer.tokens, trees="trees" in model.provides)


def _configured(model: SequenceModel, cache_dir: Path, progress: Progress) -> tuple[LanguageModel, Proof]:
    """Try the kept configuration, else all in turn."""
    kept = _Kept(cache_dir, model)
    if (known := kept.read()) is not None:
        kernels, proof = known
        if _usable(model, kernels, proof, progress):
            return InvariantModel(model, trees=proof.trees), proof
    if (reason := kept.refusal()) is not None:
        raise _refusal(model, reason)
    found: Departure | None = None
    for kernels in CANDIDATES[model.runtime]:
        model.configure(kernels)
        comparer = _comparer(InvariantModel(model), TOKENS, progress)
        found, trees = comparer.compare()
        if found is None:
            proof = Proof(comparer.tokens, trees="trees" in model.provides and trees is None)
            kept.write(kernels=asdict(kernels), proof=asdict(proof))
            return InvariantModel(model, trees=proof.trees), proof
    kept.write(refusal=str(found))
    raise _refusal(model, str(found))


def _usable(model: SequenceModel, kernels: Kernels, proof: Proof, progress: Progress) -> bool:
    """Configure the model as it was proven, and check it."""
    model.configure(kernels)
    progress("checking batch invariance", None)
    return _comparer(InvariantModel(model, trees=proof.trees), CHECKED_TOKENS, None).check() is None


def _comparer(model: LanguageModel, tokens: int, progress: Progress | None) -> ShapeComparer:
    def report(share: float) -> None:
        if progress is not None:
            progress(_PROVING, share)

    room, ids = model.description.context_tokens, _text(model)
    if room < LEAST_ROOM:
        raise ModelError(
            f"{model.description.name} holds {room} tokens, too few to prove that it is batch-invariant.",
            "Start without --batch-invariant.",
        )
    ids = (ids * (1 + tokens // len(ids)))[:tokens]
    return ShapeComparer(model, ids, room, report)


def _text(model: LanguageModel) -> list[int]:
    """Ordinary text; some ids of a vocabulary that has none."""
    with contextlib.suppress(BadRequestError):
        return encode_raw(model.tokenizer, PASSAGE)
    return [entry.id for entry, _ in zip(model.tokenizer.entries(), range(_ANY_TEXT), strict=False)]


def _refusal(model: LanguageModel, departure: str) -> ModelError:
    about = model.description
    return ModelError(
        f"{about.name} on {about.runtime} is not batch-invariant: its logits differ from those of plain decoding "
        f"{departure}.",
        "Start without --batch-invariant, or choose another runtime or file of this model: ik: before the name of a "
        "GGUF file runs it on ik_llama.cpp, llamacpp: on llama.cpp.",
    )


class _Kept:
    """What was proven of a file: a JSON document in the cache folder, if that can be written."""

    def __init__(self, cache_dir: Path, model: SequenceModel) -> None:
        facts = (
            _VERSION,
            build_of(model.runtime),
            file_hash(read(model.path)),
            processor(),
            usable_cores(),
            model.threads,
            model.description.context_tokens,
            CANDIDATES[model.runtime],
        )
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self._path = cache_dir.expanduser() / "batch_invariant" / f"{key}.json"
        self._about = {"model": model.description.name, "runtime": model.title, "processor": processor()}

    def read(self) -> tuple[Kernels, Proof] | None:
        """The configuration that was proven, and the proof."""
        try:
            document = self._document()
            return Kernels(**document["kernels"]), Proof(**document["proof"])
        except (KeyError, TypeError):
            return None

    def refusal(self) -> str | None:
        """In words, what departs in every configuration."""
        reason = self._document().get("refusal")
        return reason if isinstance(reason, str) else None

    def write(self, **found: Any) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"about": self._about, **found}, indent=1), encoding="utf-8")
            part.replace(self._path)

    def _document(self) -> dict[str, Any]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}
