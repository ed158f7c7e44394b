"""The notebook runs from its first cell to its last, and the script of OpenAI's library with a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from speculatoviz.config import Settings
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
