"""The address of a verifier: its credentials are shown nowhere, and a proxy is used as the environment says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from speculatoviz.errors import TargetError
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from support.keys import one_key
from support.local_proxy import LocalProxy
from support.verifier import connected
from support.verifier_servers import Servers

KEY = "sk-secret-1234567890"
QUICK = ConnectionTimeouts(first_s=0.1)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(url: str, folder: Path) -> TargetError:
    with pytest.raises(TargetError) as refused, connected(url, folder, timeouts=QUICK):
        pass
    assert refused.value.hint
    assert "s3cret" not in str(refused.value)
    return refused.value


def test_credentials_in_the_address_are_not_shown(
    servers: Servers, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks://this-machine-needs-no-proxy:1")
    server = servers.start()
    with caplog.at_level(logging.DEBUG), connected(server.url.replace("//", "//someone:s3cret@"), folder) as target:
        assert target.about().url == server.url

    assert "s3cret" not in caplog.text
    assert "c29tZW9uZTpzM2NyZXQ=" not in caplog.text


def test_a_key_is_not_logged(servers: Servers, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = servers.start(how=VerifierOptions(context_tokens=64, keys=one_key(KEY)))
    with caplog.at_level(logging.DEBUG), connected(server.url, folder, api_key=KEY):
        pass

    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["ws://someone:s3cret@127.0.0.1:9", "ws://someone:s3cret/x@host", "someone:s3cret@host", "ws://s3cret@host:x"],
)
def test_an_error_does_not_show_them(url: str, folder: Path) -> None:
    refusal(url, folder)


def test_a_proxy_that_cannot_be_used_is_refused_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://someone:s3cret@proxy:1080")

    assert "of the kind socks://" in refusal("ws://verifier.example", folder).message


def test_a_proxy_that_fails_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalProxy(403, b"") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//someone:s3cret@"))
        error = refusal("ws://verifier.example", folder)

    assert f"cannot be reached through the proxy {proxy.url}" in error.message
    assert proxy.lines[0] == "CONNECT verifier.example:80 HTTP/1.1"
