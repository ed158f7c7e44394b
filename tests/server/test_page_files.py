"""The page's files travel compressed, and a browser asks again only for what can change."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from speculatoviz.server.page_files import page_files

SCRIPT = "const round = 1;\n" * 500


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<h1>here</h1>")
    (tmp_path / "assets" / "index-a1b2.js").write_text(SCRIPT)
    (tmp_path / "assets" / "mono.woff2").write_bytes(b"\0" * 4096)
    return TestClient(Starlette(routes=[Mount("/", page_files(tmp_path))]))


def test_a_script_is_compressed_for_those_who_can_read_it(client: TestClient) -> None:
    answer = client.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.text == SCRIPT

    plain = client.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == SCRIPT


def test_a_font_is_not_compressed_again(client: TestClient) -> None:
    answer = client.get("/assets/mono.woff2", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_only_files_that_are_named_by_their_content_are_kept(client: TestClient) -> None:
    assert "immutable" in client.get("/assets/index-a1b2.js").headers["Cache-Control"]
    for path in ("/", "/index.html"):
        assert client.get(path).headers["Cache-Control"] == "no-cache"
    assert "immutable" not in client.get("/assets/gone.js").headers.get("Cache-Control", "")


def test_an_unchanged_page_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/").headers["ETag"]
    again = client.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"


def test_every_place_of_the_page_is_its_index(client: TestClient) -> None:
    runs = ("/runs", "/runs/", "/runs/12ab-0", "/runs/12ab/", "/runs/12ab?round=2")
    for path in ("/learn", "/learn/", "/compare", *runs):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "<h1>here</h1>")
        assert answer.headers["Cache-Control"] == "no-cache"
    for path in ("/learned", "/learn/more", "/assets/learn", "/runs/12ab/more", "/run/12ab"):
        assert client.get(path).status_code == 404
