"""The recorded runs of the static site: a list, and a trace for each."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Started, VerifyResult

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "frontend/public/recording.jsonl"
RECORDINGS = ROOT / "frontend/recordings"


def site_runs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/site_runs.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_runs_are_listed_in_order_with_their_figures(tmp_path: Path) -> None:
    packed = tmp_path / "a second, packed.jsonl.gz"
    packed.write_bytes(gzip.compress(RECORDING.read_bytes()))
    ended = site_runs(tmp_path / "runs", RECORDING, packed)
    assert (ended.returncode, ended.stderr) == (0, "")

    first, second = json.loads((tmp_path / "runs/runs.json").read_text(encoding="utf-8"))
    assert (first["id"], second["id"]) == ("recording", "a-second-packed")
    assert first["summary"] == second["summary"]
    assert first["summary"]["tokens"] == 220
    for run in (first, second):
        assert gzip.decompress((tmp_path / f"runs/{run['id']}.jsonl.gz").read_bytes()) == RECORDING.read_bytes()
        assert run["trace_bytes"] < 150_000


def test_what_is_no_run_and_equal_names_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("no trace\n")
    refused = site_runs(tmp_path / "runs", tmp_path / "none.jsonl")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    twice = site_runs(tmp_path / "runs", RECORDING, RECORDING)
    assert (twice.returncode, "Two traces are named recording." in twice.stderr) == (1, True)


@pytest.mark.parametrize("path", [RECORDING, *sorted(RECORDINGS.glob("*"))], ids=lambda path: path.name)
def test_the_repositorys_recordings_are_whole_runs_with_their_origin(path: Path) -> None:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    assert len(gzip.compress(text)) < 150_000
    read = trace.parse(text, path.name)
    assert read.header.machine
    assert read.header.created
    first, last = read.events[0], read.events[-1]
    assert isinstance(first, Started)
    assert isinstance(last, Done)
    assert first.baseline is not None
    assert last.total_drafted > 0
    assert last.metrics.shared_rounds == 0
    assert any(event.target_top_tokens for event in read.events if isinstance(event, VerifyResult))
