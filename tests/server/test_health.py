"""Live is told from ready, to everybody, and nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from speculatoviz.core.progress import Progress
from speculatoviz.errors import ModelError
from speculatoviz.server.health import LIVE, READY, USUAL
from speculatoviz.session.session import Session
from support.live_server import PATIENCE_S, Server, Toys, poll


def asked(server: Server, path: str, **headers: str) -> tuple[int, object]:
    answer = server.get(path, **headers)
    return answer.status_code, answer.json()


def test_a_server_is_live_at_once_and_ready_with_its_models(serve: Callable[..., Server], toys: Toys) -> None:
    go = threading.Event()

    def load(report: Progress) -> Session:
        assert go.wait(PATIENCE_S)
        return toys.load(report)

    server = serve(load=load)
    try:
        assert asked(server, LIVE) == (200, {"status": "live"})
        assert asked(server, READY) == asked(server, USUAL) == (503, {"status": "loading"})
        go.set()
        poll(lambda: server.get(READY).status_code == 200, "it is ready")
        assert asked(server, READY) == asked(server, USUAL) == (200, {"status": "ready"})
    finally:
        go.set()


def test_a_server_whose_models_could_not_be_loaded_is_live_and_not_ready(serve: Callable[..., Server]) -> None:
    def load(report: Progress) -> Session:
        raise ModelError("The file is torn.", "Fetch it again.")

    server = serve(load=load)
    server.wait_until("failed")

    assert asked(server, LIVE) == (200, {"status": "live"})
    assert asked(server, READY) == (503, {"status": "failed"})


@pytest.mark.parametrize("path", [LIVE, READY, USUAL])
def test_a_service_manager_needs_no_key_and_no_name(serve: Callable[..., Server], toys: Toys, path: str) -> None:
    server = serve(settings=toys.settings.model_copy(update={"api_key": SecretStr("a-key")}))
    server.wait_until("ready", Authorization="Bearer a-key")

    assert server.get(path, Host="10.1.2.3:8000").status_code == 200
    assert list(server.get(path).json()) == ["status"]
    assert server.get("/api/health").status_code == 401
    for other in (f"{path}/", f"{path}/x", f"/x{path}", f"{path}x"):
        assert server.get(other).status_code == 401
    assert server.post(path).status_code == 405
