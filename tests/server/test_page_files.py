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
    for path in ("/learn", "/learn/", "/compare", "/classroom", *runs):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "<h1>here</h1>")
        assert answer.headers["Cache-Control"] == "no-cache"
    for path in ("/learned", "/learn/more", "/assets/learn", "/runs/12ab/more", "/run/12ab"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("BR;q=0.5, gzip", "br"),
        ("br;q=0, gzip;q=1", "gzip"),
        ("br;q=0.0", None),
        ("identity", None),
        ("", None),
    ],
)
def test_a_compressed_copy_goes_to_those_who_can_read_it(
    accepted: str, encoding: str | None, client: TestClient, tmp_path: Path
) -> None:
    script = tmp_path / "assets" / "index-a1b2.js"
    for ending in ("br", "gz"):
        script.with_name(f"{script.name}.{ending}").write_bytes(f"packed by {ending}".encode())
    with client.stream("GET", "/assets/index-a1b2.js", headers={"Accept-Encoding": accepted}) as answer:
        content = b"".join(answer.iter_raw())
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in answer.headers["Cache-Control"]
    wanted = {"br": b"packed by br", "gzip": b"packed by gz", None: SCRIPT.encode()}[encoding]
    assert content == wanted
    if encoding is not None:
        assert "Accept-Encoding" in answer.headers["Vary"]


def test_an_unchanged_copy_is_not_sent_again_and_no_other_encoding_is_taken_for_it(
    client: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "index.html.br").write_bytes(b"packed")
    tag = client.get("/", headers={"Accept-Encoding": "identity"}).headers["ETag"]
    with client.stream("GET", "/", headers={"Accept-Encoding": "br", "If-None-Match": tag}) as answer:
        assert (answer.status_code, b"".join(answer.iter_raw())) == (200, b"packed")
        packed_tag = answer.headers["ETag"]
    assert client.get("/learn", headers={"Accept-Encoding": "br", "If-None-Match": packed_tag}).status_code == 304
