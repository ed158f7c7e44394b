"""Fixtures: a running server with toy models for each test, or one for a whole module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.live_server import Client, Server, Toys


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    toys = Toys(tmp_path)
    yield toys
    toys.gate.open()


@pytest.fixture
def serve(toys: Toys) -> Iterator[Callable[..., Server]]:
    """Starts servers that stop with the test; by default with the toys."""
    servers: list[Server] = []

    def start(**how: Any) -> Server:
        arguments: dict[str, Any] = {"settings": toys.settings, "load": toys.load}
        servers.append(Server(**arguments | how))
        return servers[-1]

    yield start
    toys.gate.open()
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server whose models are loaded."""
    server = serve()
    server.wait_until("ready")
    return server


@pytest.fixture(scope="module")
def shared_toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    return Toys(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def shared_server(shared_toys: Toys) -> Iterator[Server]:
    """One server for a module whose tests leave no run and no connection."""
    server = Server(shared_toys.settings, shared_toys.load)
    server.wait_until("ready")
    yield server
    shared_toys.gate.open()
    server.stop()


@pytest.fixture
def connected(server: Server) -> Iterator[Callable[..., Client]]:
    """Connects clients to the server; they disconnect with the test."""
    with ExitStack() as stack:
        yield lambda **headers: stack.enter_context(server.client(**headers))


@pytest.fixture
def client(connected: Callable[..., Client]) -> Client:
    return connected()
