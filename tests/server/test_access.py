"""Who may use the server: its own page, under names of this machine, and clients that have the key."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server import address
from speculatoviz.server.access import SECURITY_HEADERS, AccessRules, is_loopback
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.serve import page_server
from support.live_server import PATIENCE_S, Client, Server, Toys

KEY = "schlüssel & 1=2"
EVERYWHERE = "0.0.0.0"  # noqa: S104
PATHS = ("/", "/api/health", "/api/settings", "/api/openapi.json", "/nowhere")


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


def bearer(key: str) -> str:
    """The Authorization header for a key: its UTF-8 bytes, each as one character."""
    return f"Bearer {key}".encode().decode("latin-1")


# ---- other websites ----


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
def test_a_page_of_another_origin_is_refused(server: Server, connected: Callable[..., Client], origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connected(Origin=origin)

    assert refused.value.response.status_code == 403
    assert server.post("/api/test-draft?prompt=once", Origin=origin).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "dest"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
def test_a_request_for_another_website_is_refused_and_computes_nothing(
    server: Server, shared_toys: Toys, site: str, mode: str, dest: str
) -> None:
    before = shared_toys.gate.passes
    headers = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
    answers = [server.post("/api/test-draft?prompt=once", **headers), server.get("/api/health", **headers)]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["code"] == "origin"
    assert answers[0].json()["hint"]
    assert shared_toys.gate.passes == before


def test_a_link_to_the_page_can_be_followed(server: Server) -> None:
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}

    assert server.get("/api/health", **followed).status_code == 200
    assert server.post("/api/test-draft?prompt=once", **followed).status_code == 403


def test_the_servers_own_page_may_ask_for_everything(server: Server) -> None:
    own = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors", "Origin": f"http://127.0.0.1:{server.port}"}

    assert server.get("/api/health", **own).status_code == 200
    assert server.post("/api/test-draft?prompt=once", **own).status_code == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_servers_own_page_can_open_the_socket(connected: Callable[..., Client], server: Server, name: str) -> None:
    client = connected(Host=f"{name}:{server.port}", Origin=f"http://{name}:{server.port}")

    assert client.run()[-1]["type"] == "done"


def test_a_client_without_an_origin_can_open_the_socket(client: Client) -> None:
    assert client.run()[-1]["type"] == "done"


def test_a_draft_is_not_computed_for_a_get(server: Server, shared_toys: Toys) -> None:
    """An image on another website is a GET, and an old browser sends it without Sec-Fetch-Site and Origin."""
    before = shared_toys.gate.passes
    answer = server.get("/api/test-draft?prompt=once")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "POST" in answer.json()["hint"]
    assert shared_toys.gate.passes == before


# ---- names ----


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "["])
def test_a_name_pointed_at_this_machine_opens_nothing(server: Server, host: str) -> None:
    named = f"{host}:{server.port}"
    for path in PATHS:
        assert server.get(path, Host=named).status_code == 400
    assert server.post("/api/test-draft", Host=named, Origin=f"http://{named}").status_code == 400


def test_a_name_pointed_at_this_machine_opens_no_socket(connected: Callable[..., Client], server: Server) -> None:
    named = f"evil.example:{server.port}"
    with pytest.raises(InvalidStatus) as refused:
        connected(Host=named, Origin=f"http://{named}")

    assert refused.value.response.status_code == 400


def test_the_ipv6_loopback_is_a_name_of_this_machine(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=Settings(_env_file=None, **toys.settings.model_dump() | {"host": "::1"}))

    assert server.get("/api/health", Host=f"[::1]:{server.port}").status_code == 200
    assert server.get("/api/health", Host=f"[::2]:{server.port}").status_code == 400


@pytest.mark.parametrize(
    ("host", "answers_to", "refuses"),
    [
        ("127.0.0.1", ["localhost", "::1", "127.0.0.1"], ["127.0.0.2", "10.0.0.1", "workshop.example"]),
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3"]),
        ("10.0.0.1", ["10.0.0.1", "192.168.1.7", "::5", socket.gethostname().lower()], ["evil.example", ""]),
        ("workshop.example", ["workshop.example", "10.0.0.1"], ["evil.example"]),
        (EVERYWHERE, ["workshop.example", "10.0.0.1"], []),
        ("", ["workshop.example"], []),
    ],
)
def test_a_server_answers_to_the_names_that_are_known(host: str, answers_to: list[str], refuses: list[str]) -> None:
    rules = AccessRules(host)

    assert [name for name in answers_to + refuses if rules.answers_to(name)] == answers_to


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LocalHost", True), (EVERYWHERE, False), ("::", False)],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


# ---- the key ----


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on all addresses, with a key."""
    toys = Toys(tmp_path_factory.mktemp("locked"), host=EVERYWHERE, api_key=KEY)
    server = Server(toys.settings, toys.load)
    yield server
    server.stop()


@pytest.fixture
def browser(locked: Server) -> Iterator[httpx.Client]:
    """Keeps cookies."""
    with httpx.Client(trust_env=False, timeout=PATIENCE_S, base_url=f"http://127.0.0.1:{locked.port}") as client:
        yield client


def settings(folder: Path, **chosen: Any) -> Settings:
    return Settings(_env_file=None, **{"target": "toy:0", "port": 0, "cache_dir": str(folder)} | chosen)


@pytest.mark.parametrize("host", [EVERYWHERE, "::"])
def test_without_a_key_other_machines_are_not_served(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadRequestError, match="Without a key the page does not listen") as refused:
        page_server(
            settings(tmp_path, host=host, keys_file=str(tmp_path / "none")), lambda report: pytest.fail("loaded")
        )

    assert "--api-key" in refused.value.hint


def test_spaces_around_a_key_are_no_part_of_it(tmp_path: Path) -> None:
    assert address.key_of(settings(tmp_path, api_key=f" {KEY}\n")) == KEY
    assert address.key_of(settings(tmp_path)) is None


def test_the_address_to_open_carries_the_key(tmp_path: Path) -> None:
    server = page_server(settings(tmp_path, host=EVERYWHERE, api_key=KEY), lambda report: pytest.fail("loaded"))

    assert server.url.startswith("http://127.0.0.1:")
    assert server.url.endswith(f"/?key={quote(KEY, safe='')}")
    server.listening.close()


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer other", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", KEY])
def test_without_the_key_nothing_is_answered(locked: Server, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.encode().decode("latin-1")}
    for path in PATHS:
        answer = locked.get(path, **headers)
        assert answer.status_code == 401
        assert "key" in answer.text
    assert locked.post("/api/test-draft", **headers).json()["code"] == "key"
    with pytest.raises(InvalidStatus) as refused, locked.client(**headers):
        pass
    assert refused.value.response.status_code == 401


def test_with_the_key_in_a_header_everything_is_answered(locked: Server) -> None:
    headers = {"Authorization": bearer(KEY)}
    assert locked.get("/api/settings", **headers).status_code == 200
    assert locked.get("/nowhere", **headers).status_code == 404
    locked.wait_until("ready", **headers)
    assert locked.post("/api/test-draft?prompt=once", **headers).status_code == 200
    with locked.client(**headers) as client:
        assert client.run()[-1]["type"] == "done"


def test_a_browser_shows_the_key_once(locked: Server, browser: httpx.Client) -> None:
    locked.wait_until("ready", Authorization=bearer(KEY))
    shown = browser.get("/api/health", params={"key": KEY, "a": "b c"})

    assert (shown.status_code, shown.headers["location"]) == (303, "/api/health?a=b+c")
    cookie = shown.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert KEY not in cookie
    assert quote(KEY) not in cookie
    assert browser.get("/api/health").status_code == 200
    assert browser.get(shown.headers["location"]).status_code == 200
    with locked.client(Cookie=cookie.split(";")[0], Origin=f"http://127.0.0.1:{locked.port}") as client:
        assert client.run()[-1]["type"] == "done"


@pytest.mark.parametrize("key", ["", "other", KEY + "x", KEY.upper()])
def test_a_wrong_key_in_the_address_is_refused(browser: httpx.Client, key: str) -> None:
    answer = browser.get("/", params={"key": key})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert browser.get("/api/health").status_code == 401


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "///evil.example/x"])
def test_the_redirect_leads_to_this_server(locked: Server, path: str) -> None:
    with socket.create_connection(("127.0.0.1", locked.port), PATIENCE_S) as tcp:
        request = f"GET {path}?key={quote(KEY)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        tcp.sendall(request.encode())
        answer = b"".join(iter(lambda: tcp.recv(4096), b"")).decode()

    assert " 303 " in answer
    assert "location: /evil.example" in answer


def test_a_name_pointed_at_a_server_on_all_addresses_has_no_cookie(locked: Server, browser: httpx.Client) -> None:
    named = f"evil.example:{locked.port}"
    browser.get("/", params={"key": KEY})  # the visitor has one, for another name

    assert locked.get("/api/health", Host=named).status_code == 401
    with pytest.raises(InvalidStatus) as refused, locked.client(Host=named, Origin=f"http://{named}"):
        pass
    assert refused.value.response.status_code == 401


def test_another_origin_is_refused_although_it_has_the_key(locked: Server) -> None:
    headers = {"Authorization": bearer(KEY), "Origin": "http://evil.example"}

    assert locked.post("/api/test-draft", **headers).status_code == 403
    with pytest.raises(InvalidStatus, match="403"), locked.client(**headers):
        pass


def test_a_key_holds_on_this_machine_too(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=Settings(_env_file=None, **toys.settings.model_dump() | {"api_key": KEY}))

    assert server.get("/api/health").status_code == 401
    assert server.get("/api/health", Authorization=bearer(KEY)).status_code == 200


# ---- headers ----


def raw_answer(port: int, request: bytes) -> httpx.Headers:
    """Status and headers of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as tcp:
        tcp.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = tcp.recv(4096)
            assert received, answer
            answer += received
    first, *lines = answer.split(b"\r\n\r\n")[0].decode().split("\r\n")
    return httpx.Headers([("status", first.split()[1]), *(tuple(line.split(": ", 1)) for line in lines)])


UPGRADE = (
    "GET /ws/tokens HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
REQUESTS = {
    "200": "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "404": "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "405": "GET /api/test-draft HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "422": "POST /api/test-draft?k=x HTTP/1.1\r\nHost: localhost\r\ncontent-length: 0\r\n\r\n",
    "403": "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
    "400": "no HTTP at all\r\n\r\n",
    "101": UPGRADE.format(host="localhost"),
}


@pytest.mark.parametrize("status", REQUESTS)
def test_every_answer_carries_the_security_headers(server: Server, status: str) -> None:
    headers = raw_answer(server.port, REQUESTS[status].encode())

    assert headers["status"] == status
    for name, value in SECURITY_HEADERS.items():
        assert headers.get_list(name) == [value]
    assert "server" not in headers


def test_refusals_of_a_socket_or_a_connection_carry_the_security_headers(
    serve: Callable[..., Server], server: Server
) -> None:
    full = serve(connections=ConnectionLimits(sockets=0))
    refused = raw_answer(server.port, UPGRADE.format(host="evil.example").encode())

    assert refused["status"] == "400"
    assert raw_answer(full.port, b"")["status"] == "503"
    assert {name: refused[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_no_script_style_or_address_of_another_host_is_allowed() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]

    assert "http" not in policy
    assert "*" not in policy
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/docs", "/api/redoc"])
def test_there_are_no_pages_with_scripts_of_others(server: Server, path: str) -> None:
    assert server.get(path).status_code == 404


def test_an_address_is_shown_as_it_can_be_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        assert address.url(EVERYWHERE, listening) == f"http://127.0.0.1:{port}"
        assert address.url("::", listening) == f"http://[::1]:{port}"
