"""`watch` on a server of this program: its counters, and requests that pass its proxy as runs of the store."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.watching import JsonLines, Lines, Recording, Screen
from speculatoviz.lab.store.recorder import Recorder
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.watch.watching import Observer, Watching
from speculatoviz.telemetry import trace
from support import environment
from support.api_client import TEXT, complete
from support.live_server import PATIENCE_S, Server, Toys, poll

OWN = {"ignore_eos": True, "speculation": {"drafter": "model", "k": 3, "policy": "fixed"}}
FIELDS: dict[str, Any] = {"prompt": TEXT, "max_tokens": 12, "temperature": 0, "extra_body": OWN}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    return Toys(tmp_path_factory.mktemp("toys"), store=str(tmp_path_factory.mktemp("store") / "runs.db"))


@pytest.fixture(scope="module")
def server(toys: Toys) -> Iterator[Server]:
    server = Server(toys.settings, toys.load)
    server.wait_until("ready")
    yield server
    server.stop()


@pytest.fixture
def store(server: Server) -> Iterator[RunStore]:
    opened = RunStore.open(str(server.app.state.runs.store.name))
    yield opened
    opened.close()


class Proxy:
    """A proxy in a thread of its own."""

    def __init__(self, server: Server, *observers: Observer) -> None:
        url = httpx2.URL(f"http://127.0.0.1:{server.port}/metrics")
        names = iter(f"{n:012x}" for n in range(1, 99))
        self.watching = Watching(url, None, observers, _ticking(), lambda: next(names))
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def _run(self) -> None:
        async def work() -> None:
            await self.watching.look()
            async with self.watching.proxy(0) as self.port:
                self._ready.set()
                await self._stop.wait()
                await self.watching.look()

        self._loop.run_until_complete(work())

    def client(self) -> openai.OpenAI:
        url = f"http://127.0.0.1:{self.port}/v1"
        return openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=PATIENCE_S)


def _ticking() -> Callable[[], float]:
    times = iter(range(1 << 30))
    return lambda: float(next(times))


def test_the_counters_are_printed_by_the_interval(server: Server) -> None:
    complete(server, max_tokens=8)
    url = f"http://127.0.0.1:{server.port}"
    result = CliRunner().invoke(app, ["watch", url, "--count", "2", "--interval", "0.1", "--json"])

    assert result.exit_code == 0, result.output
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [document["type"] for document in documents] == ["interval", "interval"]
    assert all(document["statistics"][0]["source"] == "vLLM, /metrics" for document in documents)
    assert documents[0]["generated_tokens"] == 0
    lines = CliRunner().invoke(app, ["watch", url, "--count", "1", "--interval", "0.1"]).stdout
    assert "cannot be seen from outside" in lines
    assert "0 drafts, 0 of 0 accepted" in lines


@pytest.mark.parametrize(
    ("url", "words"),
    [("127.0.0.1:1", "not valid"), ("http://127.0.0.1:1", "cannot be read"), ("https://h --listen 0", "TLS")],
)
def test_what_cannot_be_watched_is_refused(url: str, words: str) -> None:
    result = CliRunner().invoke(app, ["watch", *url.split(), "--store", "none"])
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failure_that_goes_on_is_told_once() -> None:
    answers = ["--listen", "0", "--count", "3", "--interval", "0.1", "--store", "none"]
    result = CliRunner().invoke(app, ["watch", "http://127.0.0.1:1", *answers])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("cannot be read") == 1


def test_what_passes_is_a_run_with_its_text_and_statistics(server: Server, store: RunStore) -> None:
    recorder, out = Recorder(store), io.StringIO()
    lines = Lines(TextConsole(file=out, width=200))
    with Proxy(server, Recording(recorder), lines) as proxy, proxy.client() as client:
        whole = client.completions.create(model="toy-0", **FIELDS)
        options = {"stream_options": {"include_usage": True}}
        pieces = list(client.completions.create(model="toy-0", stream=True, **FIELDS, **options))
    recorder.close()
    streamed, first = store.newest("watch-", 10)

    assert first.prompt == streamed.prompt == TEXT
    for run, text in (
        (first, whole.choices[0].text),
        (streamed, "".join(p.choices[0].text for p in pieces if p.choices)),
    ):
        found = trace.parse(b"".join(store.trace(run.id)), run.id)
        assert found.warning is None
        assert found.events[-1].generated_text == text  # type: ignore[union-attr]
        assert run.summary.watched is not None
        assert run.summary.watched.engine == "vLLM"  # whose names the counters have
        assert (run.summary.tokens, run.summary.prompt_tokens, run.summary.ended) == (12, len(TEXT), "length")
        assert run.summary.exactness == "unverified"
        assert run.summary.drafted > 0
        shown = CliRunner().invoke(app, ["runs", "show", run.id, "--store", store.name]).stdout
        assert "of another server, not known" in shown
        replayed = CliRunner().invoke(app, ["replay", run.id, "--store", store.name]).stdout
        assert text in replayed
        assert "watched: vLLM at http://127.0.0.1" in replayed
        assert "resampled" not in replayed
    printed = out.getvalue()
    assert printed.count("/v1/completions length: 12 tokens") == 2
    assert TEXT not in printed  # prompts are not printed


def test_the_page_lists_what_passes(server: Server, store: RunStore) -> None:
    recorder = Recorder(store)
    with server.client() as client, Proxy(server, Recording(recorder)) as proxy, proxy.client() as asking:
        client.send(type="follow")
        rows: dict[str, dict[str, Any]] = {}
        asking.completions.create(model="toy-0", **FIELDS)

        def listed() -> bool:
            rows.update({row["run"]: row for row in client.receive()["runs"] if row["run"].startswith("watch-")})
            return any(row["state"] == "done" for row in rows.values())

        poll(listed, "the run is listed")
    recorder.close()
    done = [row for row in rows.values() if row["state"] == "done"]
    assert all(row["summary"]["watched"]["server"] == proxy.watching.server for row in done)
    assert all(row["prompt"] is None for row in done)


def test_the_screen_shows_counters_and_requests_and_no_text(server: Server) -> None:
    console = TextConsole(file=io.StringIO(), width=140, force_terminal=True)
    screen = Screen(console)
    with Proxy(server, screen) as proxy, proxy.client() as client, screen.shown(proxy.watching):
        client.completions.create(model="toy-0", **FIELDS)
        screen.listening(proxy.port)
    out = TextConsole(file=io.StringIO(), width=140)
    out.print(screen.render())
    shown = out.file.getvalue()  # type: ignore[attr-defined]

    assert f"watching http://127.0.0.1:{server.port}" in shown
    assert "by position" in shown
    assert "toy-0" in shown
    assert "over" in shown
    assert TEXT not in shown
    assert proxy.watching.intervals[-1].generated == 12


def test_a_client_that_leaves_is_gone_for_the_server_and_its_run_is_cancelled(
    server: Server, toys: Toys, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.gate.limit(4)
    with toys.gate.opened_at_the_end(), Proxy(server, JsonLines()) as proxy, proxy.client() as client:
        stream = client.completions.create(model="toy-0", stream=True, **FIELDS | {"max_tokens": 400})
        next(iter(stream))
        stream.close()
        poll(lambda: all(run.over for run in proxy.watching.runs), "the run is over, though its pass is not")
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["end"] for document in documents if document["type"] == "request"] == ["cancelled"]
