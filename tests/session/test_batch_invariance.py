"""`--batch-invariant`: the target is configured and proven at the start, and runs are told so; or it is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.progress import unreported
from speculatoviz.errors import ModelError
from speculatoviz.measure import invariance as shapes
from speculatoviz.measure.calibration import Calibration
from speculatoviz.measure.invariance import Proof
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.models.invariant import InvariantModel
from speculatoviz.models.kernels import CANDIDATES, Kernels
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.sequences import SequenceModel
from speculatoviz.models.runtimes.toy import ALPHABET
from speculatoviz.session.invariance import batch_invariant
from speculatoviz.session.session import Session
from speculatoviz.session.targets import load_target, open_local, open_target
from speculatoviz.telemetry.events import Done, Started
from support import toy_session
from support.tiny_gguf import write_tiny

CELLS = 1024
# Attention has another kernel for 64 rows, where keys and values have one type.
DEPARTS, PROVEN = Kernels(fewest=2), Kernels(fewest=2, values="bf16")


class Noisy(toy_session.ShortMemory):
    """Rows of larger passes differ after `first` tokens."""

    def __init__(self, first: int) -> None:
        super().__init__(3, ALPHABET)
        self.first = first

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        before = [feed.context.length for feed in feeds]
        results = super().forward(feeds)
        return [
            Rows(rows.logits * 1.5, rows.hidden) if len(feed.tokens) > 1 and length >= self.first else rows
            for feed, length, rows in zip(feeds, before, results, strict=True)
        ]


def settings(folder: Path, **others: Any) -> Settings:
    chosen: dict[str, Any] = {"target": "toy:3", "draft": "none", "cache_dir": str(folder), "batch_invariant": True}
    return Settings(_env_file=None, **chosen | others)


def session(folder: Path, model: LanguageModel, proof: Proof | None) -> Session:
    opened = open_local(model, None, time.perf_counter, None, proof)
    made = Session(settings(folder, drafter="ngram"), opened, None, time.perf_counter)
    made.calibration.measure([(7 * i) % 20 for i in range(24)], lambda: 4, unreported)
    return made


def started(own: Session, max_tokens: int = 24) -> Started:
    events = toy_session.run(own, "abcabc", k=4, ignore_eos=True, max_tokens=max_tokens)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    return events[0]


# --- what runs are told ---------------------------------------------------------------------------------


def test_a_proven_target_has_no_noise_by_proof(tmp_path: Path) -> None:
    own = Session.load(settings(tmp_path), time.perf_counter, unreported)
    first = started(own)
    assert first.batch_invariant
    assert first.noise_floor is not None
    assert first.noise_floor.proven
    assert (first.noise_floor.max_total_variation, first.noise_floor.argmax_agreement) == (0, 1)
    assert first.noise_floor.context_tokens == shapes.TOKENS
    own.close()


def test_without_the_setting_nothing_is_claimed(tmp_path: Path) -> None:
    own = Session.load(settings(tmp_path, batch_invariant=False), time.perf_counter, unreported)
    first = started(own)
    assert not first.batch_invariant
    assert first.noise_floor is not None
    assert not first.noise_floor.proven
    own.close()


def test_a_difference_in_a_longer_context_ends_the_claim(tmp_path: Path) -> None:
    own = session(tmp_path, Noisy(700), Proof(shapes.TOKENS, trees=True))
    assert isinstance(own.calibration, Calibration)
    assert started(own, 900).batch_invariant
    assert own.calibration._next_noise() is not None, "a run longer than the proof is measured"
    own.calibration.measure_next()
    later = started(own, 900)
    assert not later.batch_invariant
    assert later.noise_floor is not None
    assert not later.noise_floor.proven
    assert later.noise_floor.max_total_variation > 0
    own.close()


def test_runs_within_the_proof_are_not_measured_again(tmp_path: Path) -> None:
    own = session(tmp_path, Noisy(700), Proof(shapes.TOKENS, trees=True))
    assert isinstance(own.calibration, Calibration)
    started(own, 200)
    assert own.calibration._next_noise() is None
    own.close()


# --- what is refused ------------------------------------------------------------------------------------


def test_a_model_that_cannot_is_refused_with_the_shape_that_departs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not batch-invariant: .* in a pass of 2 rows after \d+ tokens?") as refused:
        batch_invariant(Noisy(0), tmp_path, unreported)
    assert "--batch-invariant" in refused.value.hint


def test_a_remote_target_is_refused(tmp_path: Path) -> None:
    chosen = settings(tmp_path, target="verifier:ws://localhost:1")
    with pytest.raises(ModelError, match="is remote") as refused:
        open_target(chosen, None, time.perf_counter, unreported)
    assert "Start the verifier with --batch-invariant" in refused.value.hint


# --- configurations of a GGUF file ----------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", hidden=64, fields={"{arch}.context_length": 4096})


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[Kernels]:
    """The configurations that were compared in full; the first of two departs."""
    found: list[Kernels] = []
    honest = shapes.ShapeComparer.compare

    def counting(self: shapes.ShapeComparer) -> shapes.Comparison:
        assert isinstance(self._model, InvariantModel)
        found.append(self._model._model.kernels)
        return honest(self)

    monkeypatch.setattr(shapes.ShapeComparer, "compare", counting)
    monkeypatch.setitem(CANDIDATES, "llamacpp", (DEPARTS, PROVEN))
    return found


def opened(path: Path, cache_dir: Path) -> tuple[InvariantModel, SequenceModel]:
    raw = LlamaCppModel(path, CELLS, 2)
    model, proof = batch_invariant(raw, cache_dir, unreported)
    assert isinstance(model, InvariantModel)
    assert proof == Proof(shapes.TOKENS, trees=True)
    return model, raw


def kept(cache_dir: Path) -> Path:
    [path] = (cache_dir / "batch_invariant").glob("*.json")
    return path


def test_the_first_configuration_without_a_departure_is_taken_and_kept(
    tiny: Path, tmp_path: Path, proofs: list[Kernels]
) -> None:
    for _ in range(2):  # the second start only checks
        model, raw = opened(tiny, tmp_path)
        assert raw.kernels == PROVEN
        assert "batch-invariant" in model.description.computes_on
        model.close()
        assert proofs == [DEPARTS, PROVEN]


def test_a_kept_proof_that_does_not_hold_is_replaced(tiny: Path, tmp_path: Path, proofs: list[Kernels]) -> None:
    opened(tiny, tmp_path)[0].close()
    document = json.loads(kept(tmp_path).read_text())
    document["kernels"]["values"] = "f16"
    kept(tmp_path).write_text(json.dumps(document))
    model, raw = opened(tiny, tmp_path)
    assert raw.kernels == PROVEN
    model.close()
    assert proofs == [DEPARTS, PROVEN] * 2
    assert json.loads(kept(tmp_path).read_text())["kernels"]["values"] == "bf16"


@pytest.mark.parametrize("damage", ["", "[]", '{"kernels": 1}', '{"kernels": {"most": 3}, "proof": {"x": 1}}', "\0"])
def test_a_damaged_proof_is_made_anew(tiny: Path, tmp_path: Path, proofs: list[Kernels], damage: str) -> None:
    opened(tiny, tmp_path)[0].close()
    kept(tmp_path).write_text(damage)
    opened(tiny, tmp_path)[0].close()
    assert proofs == [DEPARTS, PROVEN] * 2


def test_a_refusal_is_kept_too_and_another_file_is_tried_anew(
    tiny: Path, tmp_path: Path, proofs: list[Kernels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CANDIDATES, "llamacpp", (DEPARTS,))
    for _ in range(2):
        with pytest.raises(ModelError, match="in a pass of 64 rows"):
            batch_invariant(LlamaCppModel(tiny, CELLS, 2), tmp_path, unreported)
        assert proofs == [DEPARTS]
    other = write_tiny(tmp_path / "other.gguf", hidden=64, seed=1, fields={"{arch}.context_length": 4096})
    with pytest.raises(ModelError):
        batch_invariant(LlamaCppModel(other, CELLS, 2), tmp_path, unreported)
    assert proofs == [DEPARTS] * 2


def test_settings_load_a_target_that_is_proven(tiny: Path, tmp_path: Path, proofs: list[Kernels]) -> None:
    chosen = settings(tmp_path, target=f"llamacpp:{tiny}", context_tokens=CELLS)
    model, proof = load_target(chosen, unreported)
    assert proof == Proof(shapes.TOKENS, trees=True)
    assert proofs == [DEPARTS, PROVEN]
    model.close()
