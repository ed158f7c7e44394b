"""TLS by files of a certificate: the page, the API, the socket and the verifier."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
from websockets.sync.client import connect

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server.certificate import Certificate, certificate_of
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.serve import page_server
from support.live_server import PATIENCE_S, Client, Server
from support.raw_socket import raw_socket, rest
from support.verifier import connected, drafter_for, rounds, serving
from support.verifier_client import toys as verifier_toys

KEY = "a-key"


@dataclass(frozen=True)
class Issued:
    """A certificate for 127.0.0.1. trusted: a context of a client that trusts it. files: chain, key, both, signer."""

    trusted: ssl.SSLContext
    chain: Path
    key: Path
    both: Path
    signer: Path

    @property
    def certificate(self) -> Certificate:
        return Certificate(str(self.chain), str(self.key))


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    found = Issued(context, *(folder / f"{name}.pem" for name in ("chain", "key", "both", "signer")))
    own.cert_chain_pems[0].write_to_path(str(found.chain))
    own.private_key_pem.write_to_path(str(found.key))
    own.private_key_and_cert_chain_pem.write_to_path(str(found.both))
    authority.cert_pem.write_to_path(str(found.signer))
    return found


@pytest.fixture
def secure(serve: Callable[..., Server], issued: Issued) -> Server:
    return serve(certificate=issued.certificate)


def test_the_page_the_api_and_the_socket_are_encrypted(secure: Server, issued: Issued) -> None:
    base = f"https://127.0.0.1:{secure.port}"
    with httpx.Client(verify=issued.trusted, trust_env=False, timeout=PATIENCE_S) as client:
        while client.get(f"{base}/api/health/ready").status_code != 200:
            pass
        answer = client.post(f"{base}/v1/completions", json={"prompt": "once", "max_tokens": 2})
        assert answer.status_code == 200
    with connect(f"wss://127.0.0.1:{secure.port}/ws/tokens", ssl=issued.trusted, proxy=None) as connection:
        assert Client(connection).run()[-1]["type"] == "done"


def test_a_client_without_tls_gets_nothing(secure: Server) -> None:
    with raw_socket(secure.port, b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n") as tcp:
        assert not rest(tcp).startswith(b"HTTP")


def test_a_handshake_that_does_not_end_is_cut_off(serve: Callable[..., Server], issued: Issued) -> None:
    server = serve(certificate=issued.certificate, connections=ConnectionLimits(request_s=0.1))
    for sends in (b"", b"\x16\x03\x01\x02\x00\x01"):
        with raw_socket(server.port, sends) as tcp:
            rest(tcp)


def test_the_cookie_of_an_encrypted_page_is_sent_encrypted_only(
    serve: Callable[..., Server], issued: Issued, tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(tmp_path), api_key=KEY)
    server = serve(settings=settings, certificate=issued.certificate)
    with httpx.Client(verify=issued.trusted, trust_env=False, timeout=PATIENCE_S) as client:
        shown = client.post(f"https://127.0.0.1:{server.port}/", data={"key": KEY})

    assert shown.status_code == 303
    assert "Secure" in shown.headers["set-cookie"]


def test_a_verifier_is_reached_by_wss(issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.signer))
    with (
        serving(verifier_toys()[0], certificate=issued.certificate) as server,
        connected(server.url.replace("ws://", "wss://"), tmp_path) as target,
    ):
        assert len(rounds(target, drafter_for(*verifier_toys()), tokens=8)) > 0


# ---- the settings ----


def settings(folder: Path, **chosen: object) -> Settings:
    values = {"target": "toy:0", "port": 0, "cache_dir": str(folder)}
    return Settings(_env_file=None, **values | {name: str(value) for name, value in chosen.items()})  # type: ignore[arg-type]


def test_a_certificate_and_its_key_may_be_one_file(issued: Issued, tmp_path: Path) -> None:
    assert certificate_of(settings(tmp_path, tls_certificate=issued.both)) == Certificate(
        str(issued.both), str(issued.both)
    )
    assert certificate_of(settings(tmp_path)) is None


def test_the_printed_address_is_that_of_the_encrypted_page(issued: Issued, tmp_path: Path) -> None:
    chosen = settings(tmp_path, tls_certificate=issued.chain, tls_key=issued.key)
    server = page_server(chosen, lambda report: pytest.fail("loaded"))
    server.listening.close()

    assert server.url.startswith("https://127.0.0.1:")


def test_files_that_cannot_be_used_are_refused_in_words(issued: Issued, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(str(other))
    (tmp_path / "text.pem").write_text("no certificate")
    mistakes = [
        ({"tls_certificate": tmp_path / "none.pem"}, "cannot be read"),
        ({"tls_certificate": tmp_path}, "cannot be read"),
        ({"tls_certificate": tmp_path / "text.pem"}, "cannot be used for TLS"),
        ({"tls_certificate": issued.chain}, "cannot be used for TLS"),
        ({"tls_certificate": issued.chain, "tls_key": other}, "key values mismatch"),
        ({"tls_key": issued.key}, "without a certificate"),
    ]
    for chosen, words in mistakes:
        with pytest.raises(BadRequestError, match=words) as refused:
            certificate_of(settings(tmp_path, **chosen))
        assert refused.value.hint
