"""Redirects, proxies and credentials of the HTTP client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.address import Credentials
from speculatoviz.targets.hosted.answers import Completion, ModelList
from speculatoviz.targets.hosted.connection import MOST_REDIRECTS, Patience, proxy_for
from speculatoviz.targets.hosted.endpoint import Endpoint, UnusableError
from speculatoviz.targets.proxies import is_loopback
from support.hosted import listening, looped, opened, rounds, stand_in
from support.local_proxy import LocalProxy

KEY = "sk-secret-1234567890"
PASSWORD = "s3cret-pass"  # noqa: S105
MODELS = {"data": [{"id": "toy"}]}
Handler = Callable[[httpx2.Request], httpx2.Response]


class Recorded:
    """An endpoint that answers with `handler`, and every request that it was sent."""

    def __init__(
        self, handler: Handler, credentials: Credentials | None = None, url: str = "http://host:8000/v1"
    ) -> None:
        self.requests: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            return handler(request)

        self.endpoint = Endpoint(url, credentials, Patience(retries=0), httpx2.MockTransport(answer))

    def models(self) -> ModelList:
        return asyncio.run(self.endpoint.get("/models", ModelList)).body

    def complete(self) -> Completion:
        return asyncio.run(self.endpoint.complete("toy", {"prompt": [0]})).body

    def refusal(self) -> TargetError:
        with pytest.raises(TargetError) as refused:
            self.complete()
        assert refused.value.hint
        for secret in (KEY, PASSWORD):
            assert secret not in str(refused.value)
        return refused.value


def moving(location: str, status: int = 307) -> Handler:
    """Redirects everything that is not below /moved."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/moved"):
            return httpx2.Response(200, json={"choices": [{"text": request.content.decode()}], **MODELS})
        return httpx2.Response(status, headers={"location": location})

    return answer


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "location", ["/moved/v1", "http://host:8000/moved", "http://host:9000/moved", "https://host/moved"]
)
def test_redirects_within_the_host_are_followed_with_body_and_credentials(status: int, location: str) -> None:
    recorded = Recorded(moving(location, status), Credentials.bearer(KEY))
    (choice,) = recorded.complete().choices

    assert '"prompt"' in (choice.text or "")
    assert [request.method for request in recorded.requests] == ["POST", "POST"]
    assert [request.headers["authorization"] for request in recorded.requests] == [f"Bearer {KEY}"] * 2


def test_a_moved_endpoint_is_used_over_a_socket() -> None:
    served = stand_in(key=KEY)

    def move(request: Request) -> RedirectResponse:
        return RedirectResponse(f"/moved{request.url.path}", 307)

    app = Starlette(routes=[Mount("/moved", served.app()), Route("/{path:path}", move, methods=["GET", "POST"])])
    with listening(app) as port, looped() as loop:
        target = opened(served, loop, f"openai:http://127.0.0.1:{port}/v1#toy", key=KEY, by_socket=True)
        run = next(rounds(target, Sampling(0.0), 1))
        target.close()

    assert [step.verdict.exactness for step in run] == ["exact"] * len(run)
    assert run[0].verdict.usage is not None
    assert run[0].verdict.usage.sent_bytes


@pytest.mark.parametrize("location", ["http://elsewhere/moved", "https://host.elsewhere/moved", "//elsewhere/moved"])
def test_a_redirect_to_another_host_is_refused_and_nothing_is_sent_there(location: str) -> None:
    recorded = Recorded(moving(location), Credentials.basic("someone", PASSWORD))

    assert "redirects to another host" in recorded.refusal().message
    assert len(recorded.requests) == 1


def test_a_redirect_from_https_to_http_is_refused() -> None:
    recorded = Recorded(moving("http://host/moved"), Credentials.bearer(KEY), "https://host/v1")

    assert "without encryption" in recorded.refusal().message
    assert len(recorded.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_lose_the_body_is_refused(status: int) -> None:
    recorded = Recorded(moving("/moved", status))

    assert f"HTTP {status}" in recorded.refusal().message
    assert recorded.models().names.keys() == {"toy"}


def test_redirects_in_a_circle_end_in_words() -> None:
    recorded = Recorded(moving("/v1/round"))

    assert "redirects to a further address" in recorded.refusal().message
    assert len(recorded.requests) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("location", ["http://[::1", "http://host:port/", ""])
def test_a_redirect_to_nowhere_ends_in_words(location: str) -> None:
    Recorded(moving(location)).refusal()


def test_a_redirect_is_shown_without_what_may_be_secret() -> None:
    recorded = Recorded(moving(f"http://someone:{PASSWORD}@elsewhere/moved?key={KEY}"))

    assert recorded.refusal().message.endswith("http://elsewhere/moved.")


def test_credentials_in_a_redirect_are_not_used() -> None:
    recorded = Recorded(moving(f"http://someone:{PASSWORD}@host:8000/moved"))
    recorded.models()

    assert "authorization" not in recorded.requests[-1].headers


def test_without_a_key_nothing_is_sent_in_its_place() -> None:
    recorded = Recorded(lambda request: httpx2.Response(200, json=MODELS))
    recorded.models()

    assert "authorization" not in recorded.requests[0].headers


def test_organisation_and_project_of_the_environment_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-private")
    recorded = Recorded(lambda request: httpx2.Response(200, json=MODELS))
    recorded.models()

    assert "private" not in str(recorded.requests[0].headers)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head><body><hr>nginx</body></html>", "text/html", "Bad Gateway"),
        (b"<p>no <b>service</b></p>", "text/html", "no service"),
        (b'{"error": {"message": "out of memory"}}', "application/json", "out of memory"),
        (b'{"error": "out of memory"}', "application/json", "out of memory"),
        (b'{"object": "error", "message": "out of memory"}', "application/json", "out of memory"),
        (b'{"detail": "out of memory"}', "application/json", "out of memory"),
        (b'{"detail": [{"msg": "field required"}]}', "application/json", "field required"),
        (b'["out of memory"]', "application/json", "out of memory"),
        (b'{"error": {"message": null}}', "application/json", "502"),
        (b"null", "application/json", "502"),
        (b"", "text/plain", "502"),
        (b"a\x1b[31mb\nc", "text/plain", "a [31mb c"),
        (b"\xff\xfe", "application/json", "502"),
    ],
)
def test_errors_in_any_form_become_one_line(body: bytes, content_type: str, words: str) -> None:
    headers = {"content-type": content_type}
    error = Recorded(lambda request: httpx2.Response(502, content=body, headers=headers)).refusal()

    assert error.message.startswith("http://host:8000/v1 answered HTTP 502: ")
    assert words in error.message
    assert not set(error.message) & set("<>\n\x1b")


@pytest.mark.parametrize("credentials", [Credentials.bearer(KEY), Credentials.basic("someone", PASSWORD)])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_no_error_and_no_log_holds_credentials(
    credentials: Credentials, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an endpoint that repeats what it was sent."""

    def repeat(request: httpx2.Request) -> httpx2.Response:
        sent = request.headers["authorization"]
        return httpx2.Response(status, json={"error": {"message": f"{sent} {KEY} {PASSWORD} {request.url}"}})

    with caplog.at_level(logging.DEBUG):
        error = Recorded(repeat, credentials)
        with pytest.raises(TargetError) as refused:
            error.complete()

    for text in (str(refused.value), repr(refused.value), caplog.text):
        for secret in credentials.secrets:
            assert secret not in text
    assert refused.value.__cause__ is None


def test_a_connection_that_is_dropped_says_nothing_about_other_requests() -> None:
    def drop(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")

    error = Recorded(drop).refusal()

    assert "closed the connection (Server disconnected" in error.message
    assert not isinstance(error, UnusableError)


# Proxies.


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("http://host/", {"HTTP_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://host/", {"HTTP_PROXY": "http://proxy:3128"}, None),
        ("https://host/", {"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("http://host/", {"HTTP_PROXY": "http://one:1", "ALL_PROXY": "http://two:2"}, "http://one:1"),
        ("http://host/", {"ALL_PROXY": "http://someone:s3cret@proxy:3128"}, "http://proxy:3128"),
        ("http://host/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "host"}, None),
        ("http://a.host/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": ".host, other"}, None),
        ("http://host:8000/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "host:8000"}, None),
        ("http://10.1.2.3/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "x, 10.0.0.0/8"}, None),
        ("http://11.1.2.3/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8"}, "http://proxy:3128"),
        ("http://host/", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ("http://127.0.0.1:8000/", {"ALL_PROXY": "socks://proxy:1"}, None),
        ("http://host/", {}, None),
    ],
)
def test_the_proxy_of_the_environment(
    url: str, settings: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(httpx2.URL(url))

    assert (None if proxy is None else str(proxy.url)) == expected


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "127.0.0.1", "127.8.9.10", "::1", "::", "::ffff:127.0.0.1"]
)
def test_this_machine_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["host", "localhost.example", "10.0.0.1", "fe80::1", "128.0.0.1"])
def test_other_machines_are_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "stated", ["socks://proxy:1080", "socks4://proxy:1", "http://[::1", "http://proxy:port", "://x"]
)
def test_a_proxy_that_cannot_be_used_is_refused_in_words(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", stated)
    with pytest.raises(TargetError, match="ALL_PROXY") as refused:
        Endpoint("http://host/v1")

    assert "NO_PROXY" in refused.value.hint


def test_a_socks_proxy_is_used_or_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    monkeypatch.setenv("ALL_PROXY", "socks5://someone:s3cret@proxy:1080")
    if find_spec("socksio") is not None:
        Endpoint("http://host/v1")
        return
    with pytest.raises(TargetError, match=r"a SOCKS proxy, which needs the package socksio"):
        Endpoint("http://host/v1")


def test_requests_go_through_the_proxy_and_loopback_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalProxy(200, b'{"data": [{"id": "toy"}]}') as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        at = Endpoint("http://endpoint.example/v1")
        assert asyncio.run(at.get("/models", ModelList)).body.names.keys() == {"toy"}

        here = Endpoint("http://127.0.0.1:9/v1", patience=Patience(connect_s=2.0, retries=0))
        with pytest.raises(TargetError, match="cannot be reached") as refused:
            asyncio.run(here.get("/models", ModelList))

    assert proxy.lines == ["GET http://endpoint.example/v1/models HTTP/1.1"]
    assert "proxy" not in str(refused.value)


@pytest.mark.parametrize(("status", "words"), [(407, "asks for a user name"), (503, "HTTP 503 through the proxy")])
def test_a_proxy_that_fails_is_named(status: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalProxy(status, b"no") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//someone:s3cret@"))
        at = Endpoint("http://endpoint.example/v1", patience=Patience(retries=0))
        with pytest.raises(TargetError, match=words) as refused:
            asyncio.run(at.get("/models", ModelList))

    assert proxy.url in refused.value.message
    assert "s3cret" not in str(refused.value)


def test_a_proxy_that_refuses_a_tunnel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalProxy(403, b"") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        at = Endpoint("https://endpoint.example/v1", patience=Patience(retries=0))
        with pytest.raises(TargetError, match="cannot be reached through the proxy") as refused:
            asyncio.run(at.get("/models", ModelList))

    assert proxy.lines == ["CONNECT endpoint.example:443 HTTP/1.1"]
    assert proxy.url in refused.value.message


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    at = Endpoint("http://endpoint.example/v1", patience=Patience(connect_s=2.0, retries=0))
    with pytest.raises(TargetError, match=r"through the proxy http://127\.0\.0\.1:9") as refused:
        asyncio.run(at.get("/models", ModelList))

    assert "NO_PROXY" in refused.value.hint


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "ho%20st"])
def test_a_host_that_cannot_exist_is_said(host: str) -> None:
    at = Endpoint(f"http://{host}/v1", patience=Patience(connect_s=2.0, retries=0))
    with pytest.raises(TargetError, match=r"cannot be (reached|read)"):
        asyncio.run(at.get("/models", ModelList))


def test_certificates_that_cannot_be_read_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{tmp_path}/missing.pem")
    with pytest.raises(TargetError, match="certificates of this machine"):
        Endpoint("https://host/v1")
