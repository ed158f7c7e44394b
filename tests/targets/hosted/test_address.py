"""Names of endpoints: the URL that is asked, the credentials, and what may be shown."""

from __future__ import annotations

import pytest

from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.address import Credentials, parse
from speculatoviz.targets.names import without_credentials

KEY = "sk-secret-1234567890"


@pytest.mark.parametrize(
    ("name", "url", "root"),
    [
        ("openai:http://host:8000", "http://host:8000/v1", "http://host:8000"),
        ("openai:http://host:8000/", "http://host:8000/v1", "http://host:8000"),
        ("openai:http://host/v1/", "http://host/v1", "http://host"),
        ("openai:https://host/api/v3", "https://host/api/v3", "https://host/api/v3"),
        ("openai:https://host/openai/v1", "https://host/openai/v1", "https://host/openai"),
        ("openai:http://[::1]:8000", "http://[::1]:8000/v1", "http://[::1]:8000"),
        ("openai:http://user:pass@host:8000/v1", "http://host:8000/v1", "http://host:8000"),
        ("vllm:http://host", "http://host/v1", "http://host"),
        ("vllm:http://host/prefix/v1", "http://host/prefix/v1", "http://host/prefix"),
        ("sglang:http://host/prefix", "http://host/prefix/v1", "http://host/prefix"),
        ("sglang:http://host/prefix/v1", "http://host/prefix/v1", "http://host/prefix"),
    ],
)
def test_a_url_with_a_path_is_used_as_given(name: str, url: str, root: str) -> None:
    address = parse(f"{name}#toy", None, {})

    assert (address.url, address.root, address.model) == (url, root, "toy")


@pytest.mark.parametrize(
    "name",
    [
        "gpt:x",
        "openai:",
        "openai:#toy",
        "vllm:localhost:8000",
        "openai:ftp://host",
        "openai:http://",
        "openai:http:///v1",
        "openai:http://host:0",
        "openai:http://host:99999",
        "openai:http://host:port",
        "openai:http://[::1",
        "openai:http://host\n/v1",
        "openai:http://host/v1?api-key=s3cret",
    ],
)
def test_names_that_are_no_addresses_are_refused_in_words(name: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse(name, None, {})

    assert refused.value.hint
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "openai:http://someone:s3cret@host:99999/v1",
        "openai:http://someone:s3cret/part@host",
        "openai:http://someone:s3cret#part@host",
        "openai:http://someone:s3cret?part@host",
        "openai:someone:s3cret@host",
        "other:http://someone:s3cret@host",
        "ftp://someone:s3cret@host",
    ],
)
def test_a_name_that_is_refused_does_not_show_its_password(name: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse(name, None, {})

    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in without_credentials(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("openai:http://someone:s3cret@host:8000/v1#toy", "openai:http://host:8000/v1#toy"),
        ("verifier:ws://s3cret@[::1]:8100", "verifier:ws://[::1]:8100"),
        ("openai:http://host/v1#toy@main", "openai:http://host/v1#toy@main"),
        ("cerebras:model", "cerebras:model"),
        ("hf:someone/model@main", "hf:someone/model@main"),
        ("ws://someone:s3cret@host:8100/path", "ws://host:8100/path"),
        ("ws://someone:s3cret/part@host", "ws://host"),
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
    ],
)
def test_a_name_is_shown_without_credentials(name: str, shown: str) -> None:
    assert without_credentials(name) == shown


def test_credentials_have_no_text_form() -> None:
    address = parse("openai:http://someone:s3cret@host#toy", None, {})

    assert address.credentials == Credentials.basic("someone", "s3cret")
    assert address.credentials.authorization == "Basic c29tZW9uZTpzM2NyZXQ="
    for secret in ("s3cret", "someone", "c29tZW9uZTpzM2NyZXQ="):
        assert secret not in repr(address)
        assert secret not in str(address)


@pytest.mark.parametrize("key", [f" {KEY}\n", f"\t{KEY} ", KEY])
def test_a_key_is_stripped(key: str) -> None:
    assert Credentials.bearer(key).authorization == f"Bearer {KEY}"


@pytest.mark.parametrize("key", ["", "  ", f"{KEY}\n{KEY}", f"{KEY} x", f"{KEY}\u2026", "\u201c" + KEY, f"{KEY}\x00"])
def test_a_key_that_no_header_can_carry_is_refused_in_words(key: str) -> None:
    with pytest.raises(TargetError, match="an HTTP header cannot carry") as refused:
        Credentials.bearer(key)

    assert KEY not in str(refused.value)


def test_a_user_name_and_a_key_cannot_both_be_sent() -> None:
    with pytest.raises(TargetError, match="only one of them") as refused:
        parse("openai:http://someone:s3cret@host", KEY, {})

    assert KEY not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_the_openai_key_is_for_endpoints_without_other_credentials() -> None:
    environ = {"OPENAI_API_KEY": KEY}

    assert parse("openai:http://host", None, environ).credentials == Credentials.bearer(KEY)
    assert parse("openai:http://host", "other", environ).credentials == Credentials.bearer("other")
    assert parse("openai:http://a:b@host", None, environ).credentials == Credentials.basic("a", "b")
    assert parse("vllm:http://host", None, environ).credentials is None


def test_secrets_are_replaced_in_every_spelling() -> None:
    credentials = Credentials.basic("someone", "s3c/ret")

    assert credentials.redact("s3c/ret s3c%2Fret c29tZW9uZTpzM2MvcmV0") == "(key) (key) (key)"
