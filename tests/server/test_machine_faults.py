"""What a user sees when the machine fails: torn models, no memory, full and read-only disks, clocks that jump."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from speculatoviz.core.progress import Progress
from speculatoviz.session.session import Session
from support.api_client import TEXT, complete, post
from support.live_server import PATIENCE_S, Server, Toys, poll
from support.tiny_gguf import write_tiny


class Program:
    """The `serve` command. printed: the lines of its log until it listened."""

    def __init__(self, process: subprocess.Popen[str], printed: list[str]) -> None:
        self.process, self._printed = process, printed
        self.url = "http" + json.loads(printed[-1])["message"].partition("http")[2].split()[0]

    def health(self) -> dict[str, Any]:
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            answer: dict[str, Any] = client.get(f"{self.url}/api/health").json()
            return answer

    def post(self, path: str, body: Any) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            return client.post(f"{self.url}{path}", json=body)

    def settled(self) -> dict[str, Any]:
        """Health, once the loading has ended."""
        poll(lambda: self.health()["status"] != "loading", "the loading ends")
        return self.health()

    def stopped(self) -> list[dict[str, Any]]:
        """Interrupt it; its log."""
        self.process.send_signal(signal.SIGINT)
        _, printed = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, printed
        return [json.loads(line) for line in (*self._printed, *printed.splitlines())]


@contextmanager
def serving(folder: Path, *words: str, limits: Callable[[], None] | None = None, **variables: str) -> Iterator[Program]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SPECULATOVIZ_")}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "speculatoviz",
            "serve",
            "--port",
            "0",
            "--log-format",
            "json",
            "--log-level",
            "info",
            *words,
        ],
        cwd=folder,
        env=own | {"SPECULATOVIZ_CACHE_DIR": str(folder / "cache"), "SPECULATOVIZ_STORE": "none"} | variables,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limits,  # noqa: PLW1509 (it calls the system alone)
    )
    try:
        assert process.stderr is not None
        printed = [process.stderr.readline()]
        while "SpeculatoViz on http" not in printed[-1]:
            assert printed[-1], "it ended before it listened"
            printed.append(process.stderr.readline())
        yield Program(process, printed)
    finally:
        process.kill()
        process.communicate()


TOYS = ("--target", "toy:0", "--draft", "toy:0~7")
BODY = {"prompt": TEXT, "max_tokens": 4}


# ---- models ----


@pytest.mark.parametrize("keep", [0.5, *(pytest.param(keep, marks=pytest.mark.full) for keep in (0, 3, 100, 0.99))])
def test_a_torn_model_is_explained_and_the_server_stays(tmp_path: Path, keep: float) -> None:
    model = tmp_path / "torn.gguf"
    write_tiny(model)
    content = model.read_bytes()
    model.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else int(keep)])
    with serving(tmp_path, "--target", f"llamacpp:{model}", "--draft", "none", "--drafter", "ngram") as program:
        health = program.settled()
        refused = program.post("/v1/completions", BODY)
        log = program.stopped()

    assert health["status"] == "failed"
    assert health["message"]
    assert health["hint"]
    assert refused.status_code == 503
    assert refused.json()["error"]["message"] == f"{health['message']} {health['hint']}"
    assert all(set(line) >= {"time", "level", "message"} for line in log), "every line of the log is an object"


def test_too_little_memory_is_explained(serve: Callable[..., Server]) -> None:
    def load(report: Progress) -> Session:
        raise MemoryError

    server = serve(load=load)
    health = server.wait_until("failed")

    assert health["message"] == "There is not enough memory for the models."
    assert "smaller" in health["hint"]
    assert post(server, "completions", BODY).status_code == 503


def test_a_run_that_finds_no_memory_fails_alone(server: Server, toys: Toys) -> None:
    toys.target.failing = MemoryError()
    refused = post(server, "completions", BODY | {"prompt": "another"})

    assert refused.status_code == 500
    assert "there is not enough memory" in refused.json()["error"]["message"]
    assert complete(server)["choices"]


# ---- disks ----


def test_a_disk_that_is_full_keeps_nobody_from_running(tmp_path: Path) -> None:
    """No file can grow: the store of runs and the measured times cannot be written."""

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))

    default = {"SPECULATOVIZ_STORE": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    with serving(tmp_path, *TOYS, limits=full, **default) as program:
        assert program.settled()["status"] == "ready"
        answers = [program.post("/v1/completions", BODY) for _ in range(2)]
        log = program.stopped()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert any("not recorded" in line["message"] for line in log), log


def test_folders_that_cannot_be_written_keep_nobody_from_running(tmp_path: Path) -> None:
    """A file is where the folders should be, which stops root too."""
    (tmp_path / "file").write_text("no folder")
    folder = str(tmp_path / "file" / "below")
    with serving(
        tmp_path, *TOYS, SPECULATOVIZ_CACHE_DIR=folder, SPECULATOVIZ_STORE="", XDG_DATA_HOME=folder
    ) as program:
        assert program.settled()["status"] == "ready"
        assert program.post("/v1/completions", BODY).status_code == 200
        log = program.stopped()

    assert any("cannot be written" in line["message"] or "not recorded" in line["message"] for line in log), log


# ---- clocks ----


class Jumping:
    """The wall clock, which jumps by a day forwards or backwards whenever it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return 1_700_000_000.0 + 86_400 * (-1) ** self.reads * self.reads


def test_a_clock_that_jumps_changes_no_time_of_a_run(
    serve: Callable[..., Server], toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumping = Jumping()
    monkeypatch.setattr(time, "time", jumping)
    server = serve(settings=toys.settings.model_copy(update={"store": str(tmp_path / "runs.db"), "api_key": None}))
    server.wait_until("ready")
    texts = {complete(server, temperature=0, max_tokens=12)["choices"][0]["text"] for _ in range(3)}
    with server.client() as client:
        events = client.run()

    assert jumping.reads > 3
    assert len(texts) == 1
    times = [event["t_ms"] for event in events]
    assert times == sorted(times)
    assert 0 <= times[-1] < 1000 * PATIENCE_S
    poll(lambda: len(server.get("/api/runs").json()["runs"]) == 4, "all runs are kept")
