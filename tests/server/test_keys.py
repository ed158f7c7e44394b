"""Keys: made once, stored as digests, accepted and refused by a running server without a restart."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server import address
from speculatoviz.server.access import AccessRules
from speculatoviz.server.key_file import KeyFile, KeysError, cookie_of
from speculatoviz.server.key_ring import FIXED, KeyRing
from support.api_client import MODEL, TEXT, post, sdk
from support.live_server import Server, Toys

DAY_S = 86_400


class Clock:
    """Seconds since 1970, moved by the test."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "keys.json"


@pytest.fixture
def file(path: Path, clock: Clock) -> KeyFile:
    return KeyFile(path, clock)


# ---- the file ----


def test_a_key_is_stored_as_a_digest_for_its_owner_alone(file: KeyFile, path: Path, clock: Clock) -> None:
    umask = os.umask(0)
    try:
        key = file.add("notebook")
    finally:
        os.umask(umask)
    text = path.read_text()

    assert len(key) == len("sv-") + 43  # 32 random bytes
    assert key not in text
    assert cookie_of(key) not in text
    assert json.loads(text)["keys"][0]["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [(entry.name, entry.created_s, entry.expires_s) for entry in file.read()] == [
        ("notebook", int(clock.now_s), None)
    ]


def test_no_two_keys_are_alike(file: KeyFile) -> None:
    assert len({file.add(f"key-{number}") for number in range(20)}) == 20


def test_a_name_is_taken_once_and_free_again_after_its_key_is_removed(file: KeyFile) -> None:
    first = file.add("ci")
    with pytest.raises(BadRequestError, match="a key named 'ci' already"):
        file.add("ci")
    file.remove("ci")
    assert file.add("ci") != first


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a/b", "ä", "a" * 65, "a\n", "--api-key"])
def test_a_name_that_a_log_could_not_show_is_refused(file: KeyFile, path: Path, name: str) -> None:
    with pytest.raises(BadRequestError, match="no name for a key"):
        file.add(name)
    assert not path.exists()


def test_what_is_not_there_cannot_be_removed(file: KeyFile) -> None:
    file.add("a")
    with pytest.raises(BadRequestError, match="no key named 'b'"):
        file.remove("b")
    assert [entry.name for entry in file.read()] == ["a"]


def test_changes_at_the_same_time_are_all_made(path: Path, clock: Clock) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: KeyFile(path, clock).add(f"key-{number}"), range(24)))

    assert {entry.name for entry in KeyFile(path, clock).read()} == {f"key-{number}" for number in range(24)}
    assert [left.name for left in path.parent.iterdir() if left.suffix == ".part"] == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2, "keys": []}', b"\xff\xfe", b'{"keys": [{}]}'])
def test_a_damaged_file_is_reported_and_kept(file: KeyFile, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    for act in (file.read, lambda: file.add("a"), lambda: file.remove("a")):
        with pytest.raises(KeysError) as reported:
            act()
        assert str(path) in reported.value.message
        assert reported.value.hint
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_reported_in_words(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(KeysError, match="cannot be written") as reported:
        KeyFile(tmp_path / "file" / "keys.json", clock).add("a")
    assert "--keys-file" in reported.value.hint


# ---- which keys are accepted ----


def test_the_holder_of_a_key_or_of_its_cookie_is_known_by_name(file: KeyFile, path: Path, clock: Clock) -> None:
    key = file.add("notebook")
    ring = KeyRing("fixed", path, clock)

    assert (ring.holder(key), ring.holder_of_cookie(cookie_of(key))) == ("notebook", "notebook")
    assert (ring.holder("fixed"), ring.holder_of_cookie(cookie_of("fixed"))) == (FIXED, FIXED)
    [entry] = file.read()
    for wrong in ("", "sv-", key[:-1], f"{key}x", key.upper(), cookie_of(key), entry.sha256, entry.cookie_sha256):
        assert ring.holder(wrong) is None
    for wrong in ("", key, entry.sha256, entry.cookie_sha256, cookie_of("another")):
        assert ring.holder_of_cookie(wrong) is None, "what is on the disk must open nothing"


def test_a_ring_follows_its_file(file: KeyFile, path: Path, clock: Clock) -> None:
    ring = KeyRing(None, path, clock)
    assert ring.empty
    first = file.add("first")
    second = file.add("second")
    assert (ring.holder(first), ring.holder(second), ring.empty) == ("first", "second", False)
    file.remove("first")
    assert (ring.holder(first), ring.holder(second)) == (None, "second")
    path.unlink()
    assert (ring.holder(second), ring.empty) == (None, True)


def test_a_key_ends_with_its_days(file: KeyFile, path: Path, clock: Clock) -> None:
    key = file.add("guest", days=2)
    ring = KeyRing(None, path, clock)
    clock.now_s += 2 * DAY_S - 1
    assert ring.holder(key) == "guest"
    clock.now_s += 1
    assert (ring.holder(key), ring.holder_of_cookie(cookie_of(key)), ring.empty) == (None, None, True)


def test_a_file_that_is_damaged_later_opens_nothing_and_is_logged_once(
    file: KeyFile, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    key = file.add("a")
    ring, good = KeyRing(None, path, clock), path.read_bytes()
    path.write_bytes(good[:-9])
    with caplog.at_level(logging.ERROR):
        assert [ring.holder(key) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    path.write_bytes(good)
    assert ring.holder(key) == "a"


def test_rules_without_keys_ask_for_none() -> None:
    assert AccessRules("127.0.0.1").keys is None


# ---- who needs one ----


def settings(folder: Path, **chosen: object) -> Settings:
    return Settings(_env_file=None, **{"target": "toy:0", "cache_dir": str(folder)} | chosen)  # type: ignore[arg-type]


def test_on_this_machine_a_key_is_needed_only_if_the_settings_say_so(file: KeyFile, path: Path) -> None:
    file.add("a")
    folder = path.parent

    assert address.keys_of(settings(folder, keys_file=str(path))) is None
    for chosen in ({"require_key": True}, {"api_key": "a-key"}, {"host": "0.0.0.0"}):  # noqa: S104
        assert address.keys_of(settings(folder, keys_file=str(path), **chosen)) is not None


def test_a_server_that_requires_a_key_does_not_start_without_one(path: Path) -> None:
    with pytest.raises(BadRequestError, match="Without a key") as refused:
        address.listen_for(settings(path.parent, keys_file=str(path), require_key=True, port=0), "the page")
    assert "keys add" in refused.value.hint
    assert "--require-key" in refused.value.hint


# ---- a running server ----


def test_a_running_server_accepts_and_refuses_keys_as_they_are_made_and_removed(
    serve: Callable[..., Server], toys: Toys, file: KeyFile, path: Path
) -> None:
    own = file.add("monitor")
    server = serve(settings=toys.settings.model_copy(update={"require_key": True, "keys_file": str(path)}))
    server.wait_until("ready", Authorization=f"Bearer {own}")
    key = file.add("notebook")
    headers = {"Authorization": f"Bearer {key}"}

    assert sdk(server, key).completions.create(model=MODEL, prompt=TEXT, max_tokens=2).choices[0].text
    with server.client(**headers) as client:
        assert client.run()[-1]["type"] == "done"
    file.remove("notebook")
    refused = post(server, "completions", {"prompt": TEXT}, **headers)
    assert refused.status_code == 401
    assert refused.json() == {
        "error": {
            "message": "The key of this server is missing or wrong. Send it in the header `Authorization: Bearer KEY`, "
            "or open the page in a browser, which asks for it.",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
    with pytest.raises(InvalidStatus, match="401"), server.client(**headers):
        pass
    assert server.get("/api/health", Authorization=f"Bearer {own}").status_code == 200
