"""The commands about keys: made once, listed without themselves, removed; and files that cannot be written."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.server.key_ring import KeyRing
from support import environment, program

FILE = Path("config/keys.json")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("SPECULATOVIZ_KEYS_FILE", str(FILE))


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["keys", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_key_is_printed_once_and_opens_a_server_until_it_is_removed() -> None:
    made = call("add", "notebook")
    key = made.stdout.strip()
    assert made.stdout == f"{key}\n", "a script can take the key as it is"
    assert "shown only now" in made.stderr
    assert KeyRing(None, FILE, lambda: 0.0).holder(key) == "notebook"
    listed = call("list").output + call("list", "--json").output
    assert "notebook" in listed
    assert key not in listed + FILE.read_text()
    assert "removed" in call("remove", "notebook").stderr
    assert KeyRing(None, FILE, lambda: 0.0).holder(key) is None
    assert "keys add" in call("list").stdout


def test_dates_are_listed() -> None:
    call("add", "forever")
    call("add", "guest", "--days", "2")
    forever, guest = json.loads(call("list", "--json").stdout)["keys"]

    assert (forever["name"], forever["expires_s"]) == ("forever", None)
    assert guest["expires_s"] - guest["created_s"] == 2 * 86_400
    lines = call("list").stdout.splitlines()
    assert lines[0].split() == ["name", "made", "expires"]
    assert lines[1].split()[-1] == "never"


def test_the_file_is_in_the_users_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPECULATOVIZ_KEYS_FILE")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    call("add", "a")
    [file] = (tmp_path / "home").rglob("keys.json")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "no name"), "no name for a key"),
        (("add", "taken"), "a key named 'taken' already"),
        (("remove", "another"), "no key named 'another'"),
    ],
)
def test_mistakes_are_answered_in_words(arguments: tuple[str, ...], words: str) -> None:
    call("add", "taken")
    refused = call(*arguments, code=1)

    assert words in refused.stderr
    assert refused.stdout == ""


def test_a_damaged_file_is_named_and_kept() -> None:
    FILE.parent.mkdir()
    FILE.write_text("{")
    for arguments in (("add", "a"), ("list",), ("remove", "a")):
        refused = call(*arguments, code=1)
        assert "damaged" in refused.stderr
        assert "keys.json" in refused.stderr.replace("\n", "")
    assert FILE.read_text() == "{"


def test_a_full_disk_loses_no_key(tmp_path: Path) -> None:
    call("add", "first")
    before = FILE.read_text()
    full = program.run(tmp_path, "keys", "add", "second", file_bytes=8, SPECULATOVIZ_KEYS_FILE=str(tmp_path / FILE))

    assert "cannot be written" in program.ended(full, 1)
    assert full.stdout == b"", "no key is printed that is not stored"
    assert FILE.read_text() == before
    assert sorted(path.name for path in FILE.parent.iterdir() if path.suffix != ".lock") == ["keys.json"]
