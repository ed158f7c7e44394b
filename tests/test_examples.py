"""The notebook runs from its first cell to its last, and the script of OpenAI's library with a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from pydantic import ValidationError

from speculatoviz.config import Settings
from speculatoviz.server.api.requests import ChatRequest, CompletionRequest
from speculatoviz.session.session import Session
from support.live_server import PATIENCE_S, Server

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_it_makes(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(tmp_path / "cache"))
    read = nbformat.read(shutil.copy(notebook, tmp_path), as_version=4)
    nbformat.validate(read)
    NotebookClient(read, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [output.data for cell in read.cells for output in cell.get("outputs", ()) if "data" in output]
    assert sum("text/html" in data for data in shown) == 2  # the run and the sweep
    assert (tmp_path / "sweep" / "report.html").exists()


@pytest.mark.smol
def test_the_script_of_openais_library_prints_what_is_beside_it(smol_path: Path) -> None:
    """The words are the model's own; other kernels may write others. The shapes are the same everywhere."""
    settings = Settings(_env_file=None, profile="smol", store="none")
    server = Server(settings, lambda report: Session.load(settings, time.perf_counter, report))
    try:
        server.wait_until("ready")
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "openai_client.py"), f"http://127.0.0.1:{server.port}/v1"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    for printed in (done.stdout, (EXAMPLES / "openai_client.txt").read_text()):
        assert re.findall("## (.*)", printed) == ["stream", "tools", "structured", "prediction", "logprobs"]
        assert "'exactness': 'exact'" in printed
        assert re.search(
            r"get_weather \{'city': '.*', 'unit': '(celsius|fahrenheit)'\}\nfinish_reason: tool_calls", printed
        )
        assert re.search(r"\{'name': '.*', 'age': \d+\}", printed)
        accepted = re.search(r"accepted_prediction_tokens: (\d+)", printed)
        assert accepted is not None
        assert int(accepted[1]) > 10
        assert len(re.findall(r"-\d+\.\d+   \{", printed)) == 6


def _replayed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((EXAMPLES / "replay" / "requests.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("request_", _replayed(), ids=lambda request: f"{request['client']}: {request['what'][:20]}")
def test_requests_of_other_programs_are_taken_as_they_are(request_: dict[str, Any]) -> None:
    """Without a model: every field is read, and none is refused. The twin: a field that changes the text is."""
    models = {"/chat/completions": ChatRequest, "/completions": CompletionRequest}
    model = models[request_["path"]]
    asked = model.model_validate(request_["body"])

    assert asked.stream == request_["body"]["stream"]
    assert asked.limit == (request_["body"].get("max_tokens") or request_["body"].get("max_completion_tokens"))
    with pytest.raises(ValidationError):
        model.model_validate(request_["body"] | {"typical_p": 0.5})


@pytest.mark.smol
@pytest.mark.full
def test_the_replay_of_other_programs_prints_what_is_beside_it(smol_path: Path) -> None:
    """The words are the model's own; other kernels may write others. The shapes are the same everywhere."""
    settings = Settings(_env_file=None, profile="smol", store="none")
    server = Server(settings, lambda report: Session.load(settings, time.perf_counter, report))
    try:
        server.wait_until("ready")
        script = [sys.executable, str(EXAMPLES / "replay" / "replay.py"), f"http://127.0.0.1:{server.port}/v1"]
        done = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    for printed in (done.stdout, (EXAMPLES / "replay" / "output.txt").read_text(encoding="utf-8")):
        titles = re.findall("## (.*): ", printed)
        assert titles == [request["client"] for request in _replayed()]
        assert len(re.findall(r"\d+ documents, finish_reason (stop|length|tool_calls)", printed)) == len(titles)
        assert re.search(r"24 \+ \d+ tokens", printed)


def _figures(table: str) -> dict[str, float]:
    """The figures of a table that `vllm bench serve` prints."""
    return {name: float(value) for name, value in re.findall(r"^([A-Z][^:\n]*):\s+([\d.]+)\s*$", table, re.MULTILINE)}


def _check_vllm(printed: str) -> None:
    tables = printed.split("## ")[1:]
    assert [table.partition("\n")[0] for table in tables] == ["completions, random tokens", "chats"]
    for found in map(_figures, tables):
        assert (found["Successful requests"], found["Failed requests"]) == (12, 0)
        drafts, drafted, accepted = found["Drafts"], found["Draft tokens"], found["Accepted tokens"]
        assert found["Acceptance length"] == pytest.approx(1 + accepted / drafts, abs=0.01)
        assert found["Acceptance rate (%)"] == pytest.approx(100 * accepted / drafted, abs=0.01)
        assert found["Total generated tokens"] >= accepted > 0
    assert _figures(tables[0])["Total generated tokens"] == 12 * 48


def _check_guidellm(printed: str) -> None:
    line = r"(\d+) tokens, (\d+) rounds with a draft, mean acceptance length ([\d.]+), (\d+) of (\d+) accepted"
    requests = re.findall(line, printed)
    assert len(requests) + printed.count("nothing was drafted") == 8 > len(requests) // 2 > 1
    for tokens, rounds, length, accepted, drafted in requests:
        assert float(length) == pytest.approx(1 + int(accepted) / int(rounds), abs=0.01)
        assert int(tokens) > int(accepted) <= int(drafted)


SERVING = {"vllm": ("vllm_bench", _check_vllm), "guidellm": ("guidellm", _check_guidellm)}


@pytest.mark.parametrize("program", SERVING)
def test_serving_benchmarks_of_others_read_the_statistics_of_speculation(program: str) -> None:
    """What they printed with this server: their figures agree with each other."""
    name, check = SERVING[program]
    check((EXAMPLES / "serving" / f"{name}.txt").read_text(encoding="utf-8"))


@pytest.mark.smol
@pytest.mark.full
@pytest.mark.parametrize("program", SERVING)
def test_serving_benchmarks_of_others_run_unchanged(program: str, smol_path: Path, tmp_path: Path) -> None:
    """Where the program is installed; TOKENIZER names the folder of the model's tokenizer."""
    name, check = SERVING[program]
    if shutil.which(program) is None or (tokenizer := os.environ.get("TOKENIZER")) is None:
        pytest.skip(f"{program} or TOKENIZER is missing")
    settings = Settings(_env_file=None, profile="smol", store="none")
    server = Server(settings, lambda report: Session.load(settings, time.perf_counter, report))
    script = ["sh", str(EXAMPLES / "serving" / f"{name}.sh"), tokenizer, f"http://127.0.0.1:{server.port}"]
    try:
        server.wait_until("ready")
        done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=False)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    check(done.stdout)
