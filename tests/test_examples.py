"""The notebook runs from its first cell to its last."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

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
