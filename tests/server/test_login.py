"""A browser shows a key in a form, and keeps a cookie from which nobody can compute it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from speculatoviz.server.login import MOST_BYTES
from support.live_server import PATIENCE_S, Server, Toys

KEY = "schlüssel & 1=2"
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9"}
PAGES = ("/", "/learn", "/runs/abc?step=3", "/nowhere")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    toys = Toys(tmp_path_factory.mktemp("locked"), api_key=KEY)
    server = Server(toys.settings, toys.load)
    yield server
    server.stop()


@pytest.fixture
def browser(locked: Server) -> Iterator[httpx.Client]:
    """Keeps cookies."""
    with httpx.Client(
        trust_env=False, timeout=PATIENCE_S, base_url=f"http://127.0.0.1:{locked.port}", headers=HTML
    ) as client:
        yield client


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_the_key_and_is_then_shown(browser: httpx.Client, page: str) -> None:
    asked = browser.get(page)
    assert asked.status_code == 401
    assert asked.headers["content-type"] == "text/html; charset=utf-8"
    assert asked.headers["cache-control"] == "no-store"
    assert '<form method="post">' in asked.text
    assert "<script" not in asked.text
    assert '<meta name="referrer" content="same-origin">' in asked.text, "else a browser sends `Origin: null`"
    shown = browser.post(page, data={"key": f" {KEY} "})
    assert (shown.status_code, shown.headers["location"]) == (303, page)
    assert browser.get("/api/settings").status_code == 200
    assert KEY not in str(shown.headers)


def test_a_wrong_key_is_asked_for_again(browser: httpx.Client) -> None:
    for form in ({"key": "another"}, {"key": ""}, {}, {"other": KEY}):
        answer = browser.post("/", data=form)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert ("not accepted" in answer.text) == bool(form), "a form without fields has no body and is no form"
    assert browser.get("/api/settings").status_code == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/test-draft", "/metrics"])
def test_programs_are_answered_in_their_own_form(browser: httpx.Client, path: str) -> None:
    for answer in (browser.get(path), browser.post(path, data={"key": KEY})):
        assert answer.status_code == 401
        assert "<form" not in answer.text
        assert "set-cookie" not in answer.headers


def test_a_form_of_another_website_is_refused(browser: httpx.Client) -> None:
    answer = browser.post("/", data={"key": KEY}, headers={"Origin": "http://evil.example"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_long_form_is_not_read(browser: httpx.Client) -> None:
    answer = browser.post("/", data={"key": KEY, "more": "a" * MOST_BYTES})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_each_port_has_a_cookie_of_its_own(locked: Server, browser: httpx.Client) -> None:
    browser.post("/", data={"key": KEY})

    assert [cookie.name for cookie in browser.cookies.jar] == [f"speculatoviz_{locked.port}"]


@pytest.mark.parametrize("port", ["", ":", ":x", ":99999999", ":²"])
def test_a_host_with_an_odd_port_is_answered(locked: Server, port: str) -> None:
    answer = locked.get("/", Host=f"127.0.0.1{port}".encode().decode("latin-1"))

    assert answer.status_code in {400, 401}
