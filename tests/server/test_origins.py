"""Only this server's own page may open the socket, and only under a name of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from speculatoviz.config import Settings
from support.live_server import Client, Server, Toys


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:1",
        "http://localhost.evil.example",
        "https://127.0.0.1",
        "null",
        "http://[",
        "",
    ],
)
def test_a_page_of_another_origin_cannot_open_the_socket(connected: Callable[..., Client], origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connected(Origin=origin)

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_servers_own_page_can_open_the_socket(connected: Callable[..., Client], server: Server, name: str) -> None:
    client = connected(Host=f"{name}:{server.port}", Origin=f"http://{name}:{server.port}")

    assert client.run()[-1]["type"] == "done"


def test_a_client_without_an_origin_can_open_the_socket(client: Client) -> None:
    assert client.run()[-1]["type"] == "done"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_a_name_pointed_at_this_machine_opens_nothing(
    connected: Callable[..., Client], server: Server, host: str
) -> None:
    named = f"{host}:{server.port}"
    with pytest.raises(InvalidStatus) as refused:
        connected(Host=named, Origin=f"http://{named}")

    assert refused.value.response.status_code == 400
    for path in ("/", "/api/health", "/api/settings", "/api/test-draft"):
        assert server.get(path, Host=named).status_code == 400


def test_another_origin_is_still_refused_where_the_server_is_open_to_the_network(
    serve: Callable[..., Server], toys: Toys, tmp_path: Path
) -> None:
    server = serve(settings=Settings(_env_file=None, **toys.settings.model_dump() | {"host": "0.0.0.0"}))  # noqa: S104
    server.wait_until("ready")
    named = f"workshop.example:{server.port}"

    assert server.get("/api/health", Host=named).status_code == 200
    with server.client(Host=named, Origin=f"http://{named}") as client:
        assert client.run()[-1]["type"] == "done"
    with pytest.raises(InvalidStatus), server.client(Host=named, Origin="http://evil.example"):
        pass


def test_the_ipv6_loopback_is_a_name_of_this_machine(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=Settings(_env_file=None, **toys.settings.model_dump() | {"host": "::1"}))

    assert server.get("/api/health", Host=f"[::1]:{server.port}").status_code == 200
    assert server.get("/api/health", Host=f"[::2]:{server.port}").status_code == 400
