"""The `serve` command in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.server import address
from support.live_server import PATIENCE_S, poll


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPECULATOVIZ_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "speculatoviz.cli.app", "serve", "--target", "toy:0", "--draft", "toy:0~7", *arguments],
        cwd=folder,
        env=inherited | {"SPECULATOVIZ_CACHE_DIR": str(folder), "SPECULATOVIZ_STORE": "none"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_free_port_is_chosen_printed_and_released(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0") as process, httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        assert process.stderr is not None
        announced = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert announced is not None
        health = f"{announced[0]}/api/health"
        poll(lambda: client.get(health).json()["status"] == "ready", "the models are loaded")
        assert client.get(health).json()["target_model"]["name"] == "toy-0"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_in_use_is_refused_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, "--port", str(port)) as process:
            _, printed = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 1
    assert f"127.0.0.1 port {port} cannot be listened on" in printed
    assert "--port" in printed
    assert "Traceback" not in printed


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(BadRequestError, match=r"203\.0\.113\.1 port 0 cannot be listened on"):
        address.listen("203.0.113.1", 0)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        assert address.url("::1", listening) == f"http://[::1]:{port}"
        assert address.url("localhost", listening) == f"http://localhost:{port}"
