"""The log of a server has the ids of runs, and no key, prompt, text or path unless they are asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from speculatoviz.server.logs import LogFormat, LogHandler
from support.api_client import complete, post
from support.live_server import Server, Toys, poll

KEY = "sv-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
PROMPT = "once upon a secret"


class Log:
    """The lines of a log. set_up: with a handler of a form, from now on."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._undo: list[Callable[[], None]] = []

    def set_up(self, form: LogFormat, *, details: bool = False) -> None:
        handler, root = LogHandler(self.lines.append, form, logging.INFO, details=details), logging.getLogger()
        own = logging.getLogger("speculatoviz")
        before = own.level
        root.addHandler(handler)
        own.setLevel(logging.INFO)
        self._undo.append(lambda: (root.removeHandler(handler), own.setLevel(before))[0])

    def undo(self) -> None:
        for undo in self._undo:
            undo()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def documents(self, message: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["message"] == message]


@pytest.fixture
def written() -> Iterator[Log]:
    log = Log()
    yield log
    log.undo()


def log_an_error(path: Path) -> None:
    """What a runtime's failure could be: its words contain the prompt, a key and a path."""
    try:
        try:
            raise KeyError(PROMPT)
        except KeyError as error:
            raise ValueError(f"no token for {PROMPT!r} in {path} for {KEY}") from error
    except ValueError:
        logging.getLogger("speculatoviz.test").exception("a run failed", extra={"run": "cmpl-1-0"})


# ---- what is in a line ----


def test_a_line_of_json_has_its_fields_and_an_error_its_functions(written: Log, tmp_path: Path) -> None:
    written.set_up("json")
    log_an_error(tmp_path / "model.gguf")
    [line] = written.documents("a run failed")

    assert (line["level"], line["logger"], line["run"]) == ("error", "speculatoviz.test", "cmpl-1-0")
    assert line["time"].endswith("+00:00")
    assert line["error"].startswith("ValueError from KeyError in ")
    assert "log_an_error:" in line["error"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("details", [False, True])
def test_what_an_error_says_is_written_only_if_asked_for(
    written: Log, tmp_path: Path, form: LogFormat, details: bool
) -> None:
    written.set_up(form, details=details)
    log_an_error(tmp_path / "model.gguf")

    assert (PROMPT in written.text) == details
    assert (str(tmp_path) in written.text) == details
    assert (__file__ in written.text) == details
    assert KEY not in written.text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Runs are kept in /home/me/runs.db, with texts.", "Runs are kept in <path>, with texts."),
        (r"C:\Users\me\runs.db is damaged", "<path> is damaged"),
        ("~/keys.json cannot be read", "<path> cannot be read"),
        ("'/a b' and (/tmp/x)", "'<path> b' and (<path>)"),
        ("1.5 of 3 tokens/s; 24/7; and/or", "1.5 of 3 tokens/s; 24/7; and/or"),
        (f"sent {KEY} and Bearer abc.def", "sent <key> and <key>"),
        ("GET ?key=abc&a=1", "GET ?<key>&a=1"),
    ],
)
def test_paths_and_keys_are_taken_out_of_messages(written: Log, message: str, shown: str) -> None:
    written.set_up("json")
    logging.getLogger("speculatoviz.test").warning("%s", message)

    assert [json.loads(line)["message"] for line in written.lines] == [shown]


def test_a_line_stays_one_line(written: Log) -> None:
    written.set_up("text")
    written.set_up("json")
    logging.getLogger("speculatoviz.test").warning("a\nb\x1b[31m", extra={"run": "r\n1"})

    assert written.lines[0] == r"warning a\x0ab\x1b[31m run=r\x0a1"
    assert "\n" not in written.lines[1]
    assert len(written.lines) == 2


def test_a_message_whose_arguments_do_not_fit_ends_nothing(written: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    written.set_up("json")
    logging.getLogger("speculatoviz.test").warning("%d runs", "many")
    logging.getLogger("speculatoviz.test").warning("on it goes")

    assert [json.loads(line)["message"] for line in written.lines] == ["on it goes"]


# ---- what a server logs ----


def test_a_run_can_be_followed_by_its_id(server: Server, written: Log) -> None:
    written.set_up("json")
    identity = complete(server, prompt=PROMPT, max_tokens=3)["id"]
    server.get("/nowhere")
    server.get(f"/api/runs/{identity}?a={PROMPT}")
    with server.client() as client:
        page_run = client.run(prompt=PROMPT)[-1]["run"]

    poll(lambda: "/ws/tokens" in written.text, "the line of the socket, which is written once it is closed")
    started, ended = written.documents("run started"), written.documents("run ended")
    assert [line["run"] for line in started] == [line["run"] for line in ended] == [f"{identity}-0", page_run]
    assert (ended[0]["tokens"], ended[0]["finish_reason"]) == (3, "length")
    answered = [(line["method"], line["route"], line["status"]) for line in written.documents("request")]
    assert ("POST", "/v1/completions", 200) in answered
    assert ("GET", "/api/runs/{run}", 503) in answered
    assert ("GET", "/ws/tokens", 101) in answered
    assert all(line["ms"] >= 0 for line in written.documents("request"))


def test_no_key_prompt_text_or_address_is_in_the_log(
    serve: Callable[..., Server], toys: Toys, tmp_path: Path, written: Log
) -> None:
    written.set_up("json")
    written.set_up("text")
    server = serve(settings=toys.settings.model_copy(update={"api_key": SecretStr(KEY)}))
    sent = {"Authorization": f"Bearer {KEY}"}
    server.wait_until("ready", **sent)
    body = {"prompt": PROMPT, "max_tokens": 8, "ignore_eos": True}
    text = post(server, "completions", body, **sent).json()["choices"][0]["text"]
    server.get(f"/?key={KEY}")
    server.get(f"/{PROMPT}/x?prompt={PROMPT}", **sent)
    post(server, "completions", {"prompt": PROMPT, "max_tokens": PROMPT}, **sent)
    toys.target.failing = RuntimeError(f"{PROMPT} cannot be computed, see {tmp_path}")
    assert post(server, "completions", body | {"prompt": f"{PROMPT} again"}, **sent).status_code == 500

    failed = [line for line in written.lines if "a run failed" in line]
    assert len(failed) == 2
    assert all("RuntimeError" in line for line in failed)
    assert "run=cmpl-" in written.text
    assert len(text) == 8
    for secret in (KEY, PROMPT, text, str(tmp_path), str(Path.home())):
        assert secret not in written.text
    assert "--api-key" in written.text, "the name of the key is there"


def test_by_default_requests_are_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "speculatoviz"):
        complete(server, prompt=PROMPT, max_tokens=2)

    assert caplog.records == []
