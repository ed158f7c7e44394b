"""An address is read within bounds, and every failure has words without credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from speculatoviz.errors import TargetError
from speculatoviz.lab.engines.fetching import Bounds, fetch

Handler = Callable[[httpx2.Request], httpx2.Response]


def through(handler: Handler) -> httpx2.MockTransport:
    return httpx2.MockTransport(handler)


def answering(body: bytes = b"vllm:x 1\n", status: int = 200) -> tuple[httpx2.MockTransport, list[httpx2.Request]]:
    asked: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, content=body)

    return through(handler), asked


def test_an_address_without_a_path_stands_for_its_metrics() -> None:
    transport, asked = answering()
    assert fetch("http://host:8000", None, transport=transport) == "vllm:x 1\n"
    assert fetch("http://host:8000/answer.json", None, transport=transport)
    assert [str(request.url) for request in asked] == ["http://host:8000/metrics", "http://host:8000/answer.json"]


def test_a_key_and_a_password_go_to_the_server_and_into_no_error() -> None:
    transport, asked = answering(b"secret-key", 401)
    with pytest.raises(TargetError, match="HTTP 401") as refused:
        fetch("http://host/metrics", "secret-key", transport=transport)
    assert asked[0].headers["authorization"] == "Bearer secret-key"
    assert "secret-key" not in str(refused.value)

    with pytest.raises(TargetError) as refused:
        fetch("http://user:hidden@host/metrics", None, transport=transport)
    assert asked[1].headers["authorization"].startswith("Basic ")
    assert "hidden" not in str(refused.value)


def test_an_endless_answer_ends_at_the_bound() -> None:
    transport, _ = answering(b"x" * (3 << 20))
    with pytest.raises(TargetError, match="more than 2 MiB"):
        fetch("http://host/metrics", None, Bounds(most_bytes=2 << 20), transport)


def test_a_silent_server_is_given_up() -> None:
    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(TargetError, match="did not answer within"):
        fetch("http://host/metrics", None, Bounds(total_s=0.05), Silent())


def test_a_redirect_to_another_host_is_not_followed() -> None:
    transport = through(lambda request: httpx2.Response(302, headers={"location": "http://other/metrics"}))
    with pytest.raises(TargetError, match="another host"):
        fetch("http://host/metrics", None, transport=transport)


def test_a_server_that_is_not_there_is_named() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(TargetError, match="cannot be read"):
        fetch("http://host/metrics", None, transport=through(refuse))


@pytest.mark.parametrize("name", ["http://", "http://[", "http://host:99999999/x", "ftp://host/x"])
def test_an_address_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(TargetError):
        fetch(name, None, transport=answering(status=500)[0])
