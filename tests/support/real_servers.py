"""Real servers of other projects, each in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

PATIENCE_S = 120.0

_LLAMA_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 2048, 8
params.kv_unified, params.cpuparams.n_threads, params.endpoint_metrics = True, 2, True
if sys.argv[3:]:
    params.n_parallel = 1
    params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    if sys.argv[4] == "eagle3":
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_EAGLE3]
    params.speculative.draft.mparams.path = sys.argv[3]
server = xllamacpp.Server(params)
sys.stdin.read()
"""


def lacking(*modules: str) -> str | None:
    """Why a server cannot be run here, None where it can."""
    missing = [module for module in modules if find_spec(module) is None]
    return f"{', '.join(missing)} not installed" if missing else None


@contextmanager
def llama_server(model: Path, draft: Path | None = None, kind: str = "model") -> Iterator[str]:
    """llama.cpp's own server, as xllamacpp brings it. Yields its address.

    draft: the file that drafts for it, with kind: a model, or eagle3.
    """
    drafting = [str(draft), kind] if draft is not None else []
    with _running([sys.executable, "-c", _LLAMA_SERVER, str(model)], *drafting) as url:
        yield url


@contextmanager
def llama_cpp_python(model: Path) -> Iterator[str]:
    """llama-cpp-python's server with scores of all tokens, and a short context, of which it computes all."""
    options = "--host 127.0.0.1 --logits_all true --n_ctx 96 --n_threads 2 --n_threads_batch 2 --verbose false"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), *options.split(), "--port"]
    with _running(command) as url:
        yield url


@contextmanager
def _running(command: list[str], *after_port: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, str(port), *after_port],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, f"{url}/v1/models")
        yield url
    finally:
        process.kill()
        process.communicate()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline, done = time.monotonic() + PATIENCE_S, False
    while not done:
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (an address of this machine)
                done = answer.status == 200
        except OSError:
            time.sleep(0.2)
