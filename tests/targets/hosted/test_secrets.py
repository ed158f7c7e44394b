"""User name, password and key of an endpoint appear nowhere: terminal, trace, API, log."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.config import Settings
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from support.hosted import listening, stand_in
from support.live_server import Server

USER, PASSWORD, BASIC = "someone", "s3cret/pass", "c29tZW9uZTpzM2NyZXQvcGFzcw=="
KEY = "sk-secret-1234567890"
SECRETS = (USER, PASSWORD, "s3cret%2Fpass", BASIC, KEY)
RUN = ["--target-tokenizer", "toy:0", "--draft", "toy:0~7", "--max-tokens", "8", "-k", "2"]


def found(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything at every level."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert found(caplog.text) == []


@pytest.fixture(params=["basic", "key"])
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name of an endpoint that asks for credentials, which the name or the environment has."""
    basic = request.param == "basic"
    served = stand_in(ToyModel(0, ALPHABET), authorization=f"Basic {BASIC}" if basic else f"Bearer {KEY}")
    if not basic:
        monkeypatch.setenv("SPECULATOVIZ_TARGET_API_KEY", f" {KEY}\n")
    with listening(served.app()) as port:
        place = f"someone:s3cret%2Fpass@127.0.0.1:{port}" if basic else f"127.0.0.1:{port}"
        yield f"openai:http://{place}/v1#toy"


def test_neither_the_terminal_nor_a_trace_shows_them(target: str, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    result = CliRunner().invoke(app, ["generate", "once upon", "--target", target, *RUN, "--trace", str(trace)])

    assert result.exit_code == 0, result.output
    assert "toy" in result.output
    assert found(result.output) == []
    assert found(trace.read_text()) == []
    assert '"type":"done"' in trace.read_text()


def test_a_probe_does_not_show_them(target: str) -> None:
    result = CliRunner().invoke(app, ["probe", target, "--target-tokenizer", "toy:0"])

    assert result.exit_code == 0, result.output
    assert found(result.output) == []


def test_the_api_does_not_show_them(target: str, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, target=target, target_tokenizer="toy:0", draft="toy:0~7", k=2, cache_dir=str(tmp_path)
    )

    server = Server(settings, lambda report: Session.load(settings, time.perf_counter, report))
    try:
        server.wait_until("ready")
        for path in ("/api/health", "/api/settings"):
            answer = server.get(path)
            assert answer.status_code == 200
            assert found(answer.text) == []
    finally:
        server.stop()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target", f"openai:http://{USER}:s3cret%2Fpass@127.0.0.1:9/v1#toy"],
        ["--target", f"openai:http://{USER}:s3cret%2Fpass@127.0.0.1:99999/v1#toy"],
        ["--target", f"openai:http://{USER}:{PASSWORD}@127.0.0.1:9/v1#toy"],
        ["--target", f"openai:{USER}:{PASSWORD}@127.0.0.1:9/v1#toy"],
        ["--target", "openai:http://127.0.0.1:9/v1#toy", "--target-api-key", f"{KEY}\n{KEY}"],
        ["--target", f"openai:http://{USER}:s3cret%2Fpass@127.0.0.1:9/v1#toy", "--target-api-key", KEY],
        ["--target", f"vllm:http://{USER}:s3cret%2Fpass@127.0.0.1:9#toy", "--target-quantisation", "Q4_0"],
    ],
    ids=lambda arguments: arguments[1].replace(PASSWORD, "…"),
)
def test_no_error_shows_them(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.0)
    result = CliRunner().invoke(app, ["generate", "once upon", *arguments, *RUN], env={"PATH": os.environ["PATH"]})

    assert result.exit_code == 1
    assert result.stderr
    assert "Traceback" not in result.output
    assert found(result.output) == []
