"""`bench remote` measures every mode, both models on the far side among them, on toys in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.bench import remote
from speculatoviz.bench.colocated import Streamed, capacity, stream
from speculatoviz.config import Settings
from speculatoviz.errors import TargetError
from support.live_server import Server, Toys
from support.verifier import serving
from support.verifier_client import toys

TOKENS = 24


def test_every_mode_is_measured_on_the_same_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PROMPTS", {"story": "once upon a time"})
    there = Toys(tmp_path)
    server = Server(there.settings, there.load)
    settings = Settings(
        _env_file=None,
        target_quantisation="F32",  # of the other machine's target
        draft="toy:0~7",
        drafter="model",
        cache_dir=str(tmp_path),
        store="none",
    )
    try:
        server.wait_until("ready")
        with serving(toys()[0]) as verifier:
            both = f"http://127.0.0.1:{server.port}"
            found = remote.measure(verifier.url, both, 1.0, settings, 3, 1, TOKENS)
    finally:
        server.stop()
    story = found["story"]
    assert isinstance(story, dict)
    assert set(story["tps"]) == set(remote.MODES)
    assert all(value > 0 for value in story["tps"].values())
    ratio = story["tps"]["colocated"] / story["tps"]["streaming"]
    assert story["colocated"]["speedup"]["median"] == pytest.approx(ratio)  # of one turn
    assert story["capacity"]["computed"] > 1.0
    assert story["capacity"]["measured"] > 0.0


def test_rounds_and_tokens_of_a_streamed_answer_are_counted_after_the_first(tmp_path: Path) -> None:
    there = Toys(tmp_path)
    server = Server(there.settings, there.load)
    ticks = iter(range(1000))
    try:
        server.wait_until("ready")
        url = f"http://127.0.0.1:{server.port}"
        plain = stream(url, [0, 1, 2], 0, TOKENS, lambda: float(next(ticks)))
        drafted = stream(url, [0, 1, 2], 3, TOKENS, lambda: float(next(ticks)))
        with pytest.raises(TargetError, match="fewer than two rounds"):
            stream(url, [0, 1, 2], 0, 1, lambda: 0.0)
    finally:
        server.stop()
    # One tick a round: plain decoding brings a token in each.
    assert plain == Streamed(1.0, 1000.0, TOKENS - 1)
    assert 0 < drafted.rounds < plain.rounds
    assert drafted.tps > 1.0


def test_capacity_is_the_busy_time_with_both_models_by_that_of_a_verification() -> None:
    found = capacity(
        [Streamed(10.0, 90.0, 5), Streamed(9.0, 100.0, 5), Streamed(9.0, 96.0, 5)], [30.0, 30.0], [60.0], 3
    )
    assert found == {"measured": pytest.approx(96 / 60), "computed": pytest.approx(1.5)}
