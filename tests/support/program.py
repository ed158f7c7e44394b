"""The `speculatoviz` command with standard streams that a test chooses, in this process or as one of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import IO, Any, TextIO, cast

import pytest

from speculatoviz.cli.app import app
from speculatoviz.cli.output import GuardedStream

PATIENCE_S = 60.0
_OF_PYTHON = {"PYTHONIOENCODING", "PYTHONUNBUFFERED"}


def call(monkeypatch: pytest.MonkeyPatch, stdout: TextIO | None, *arguments: str) -> tuple[int, str]:
    """Run a command here, its standard output guarded as `main` does it; exit code and standard error."""
    errors = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", GuardedStream(stdout))
        patch.setattr(sys, "stderr", errors)
        code = app(list(arguments), standalone_mode=False) or 0
    return code, errors.getvalue()


def run(
    folder: Path,
    *arguments: str,
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
    file_bytes: int | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run `speculatoviz ARGUMENTS` in `folder` to its end, with a cache there and `variables` in its environment.

    No run is kept, unless `variables` name a store.

    file_bytes: no file may grow beyond this, as on a disk that fills up.
    """

    def limit() -> None:
        if file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    own = {name: value for name, value in os.environ.items() if "SPECULAT" not in name and name not in _OF_PYTHON}
    return subprocess.run(
        [sys.executable, "-m", "speculatoviz", *arguments],
        cwd=folder,
        env=own | {"SPECULATOVIZ_CACHE_DIR": str(folder / "cache"), "SPECULATOVIZ_STORE": "none"} | variables,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=limit,
        timeout=PATIENCE_S,
        check=False,
    )


def ended(process: subprocess.CompletedProcess[bytes], code: int) -> str:
    """The standard error of a process that ended with this code, in words."""
    said = cast("bytes", process.stderr or b"").decode(errors="backslashreplace")
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return said
