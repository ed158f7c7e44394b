"""Many clients that vanish or stay silent: nothing of them is left, and others are served."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from speculatoviz.server.limits import ConnectionLimits
from support.live_server import PATIENCE_S, Server, poll
from support.raw_socket import connections, raw_socket

VANISHING, AT_ONCE = 200, 16
SILENT, DESCRIPTORS = 500, 96
START = {"prompt": "once upon a time", "ignore_eos": True, "max_tokens": 400}


def vanish(server: Server, number: int) -> None:
    """Begin something, and go without a word at a moment that the number decides."""
    draw = random.Random(number)  # noqa: S311
    if draw.random() < 0.5:
        with server.client() as client:
            client.send(**START, k=draw.randrange(4))
            for _ in range(draw.randrange(6)):
                client.receive()
            client.vanish()
        return
    body = b'{"prompt": "once upon a time", "max_tokens": 400, "ignore_eos": true, "stream": true}'
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with raw_socket(server.port, request[: draw.choice([5, 60, len(request) - 3, len(request)])]) as tcp:
        if draw.random() < 0.5:
            tcp.settimeout(0.05)
            with suppress(TimeoutError):
                tcp.recv(100)


def test_two_hundred_clients_that_vanish_leave_nothing(serve: Callable[..., Server]) -> None:
    server = serve(connections=ConnectionLimits(request_s=1.0))
    server.wait_until("ready")
    threads = threading.active_count()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: vanish(server, number), range(VANISHING)))
    host = server.app.state.host
    poll(lambda: host.queue.idle and host.queue.waiting == 0, "their runs are over")
    poll(lambda: len(connections(server)) <= 1, "their connections are closed; one is this test's own")

    assert threading.active_count() <= threads + AT_ONCE
    assert len(host.stopping._computing) == len(host.stopping._waiting) == 0
    with server.client() as client:
        assert client.run()[-1]["type"] == "done"


@contextmanager
def few_descriptors(folder: Path) -> Iterator[str]:
    """The `serve` command with few descriptors; its address."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

    own = {name: value for name, value in os.environ.items() if not name.startswith("SPECULATOVIZ_")}
    words = ["serve", "--target", "toy:0", "--draft", "toy:0~7", "--port", "0", "--store", str(folder / "runs.db")]
    process = subprocess.Popen(
        [sys.executable, "-m", "speculatoviz", *words, "--log-format", "json", "--log-level", "info"],
        cwd=folder,
        env=own | {"SPECULATOVIZ_CACHE_DIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 (it calls the system alone)
    )
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        yield next(line.partition("http")[2].split()[0] for line in lines if "SpeculatoViz on http" in line)
        assert process.poll() is None, "it is still there"
    finally:
        process.kill()
        process.communicate()


def _kept(client: httpx.Client) -> bool:
    """Whether the store has a run. It writes one after the answer."""
    return bool(client.get("/api/runs?limit=1").json()["runs"])


@pytest.mark.full
def test_silent_sockets_do_not_keep_a_server_with_few_descriptors_from_others(tmp_path: Path) -> None:
    with few_descriptors(tmp_path) as rest, ExitStack() as silent:
        port = int(rest.rpartition(":")[2])
        with httpx.Client(trust_env=False, timeout=PATIENCE_S, base_url=f"http://127.0.0.1:{port}") as client:
            poll(lambda: client.get("/api/health/ready").status_code == 200, "it is ready")
        for number in range(SILENT):
            silent.enter_context(raw_socket(port))
            if number % 100 == 99:
                with httpx.Client(trust_env=False, timeout=PATIENCE_S, base_url=f"http://127.0.0.1:{port}") as client:
                    assert client.get("/api/health/live").status_code == 200
                    answer = client.post("/v1/completions", json={"prompt": "once", "max_tokens": 2})
                    assert answer.status_code == 200, answer.text
                    poll(lambda: _kept(client), "the store of runs has its descriptors")


@pytest.mark.parametrize(
    ("soft", "sockets"), [(96, 32), (1024, 256), (300, 236), (64, 16), (10, 16), (resource.RLIM_INFINITY, 256)]
)
def test_connections_leave_descriptors_for_files(soft: int, sockets: int) -> None:
    assert ConnectionLimits().within(soft).sockets == sockets


def test_a_smaller_limit_of_connections_stays() -> None:
    assert ConnectionLimits(sockets=8).within(1024).sockets == 8
