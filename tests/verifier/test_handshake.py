"""The handshake: versions, vocabularies and keys that do not fit are refused in words, on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from speculatoviz.errors import TargetError
from speculatoviz.models.base import VocabularyEntry
from speculatoviz.server.verifier import connection
from speculatoviz.server.verifier.app import VerifierOptions, welcome
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack
from speculatoviz.targets.verifier.frames import vocabulary_frame
from support.keys import one_key
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, answering, refusal, toys
from support.verifier_servers import Servers

MODEL = toys()[0]
SERVING = VerifierOptions(context_tokens=64)
FINGERPRINT = MODEL.tokenizer.fingerprint
Answers = Callable[[wire.ClientFrame], list[bytes]]


def impostor(answer: Callable[[wire.ClientFrame], wire.Frame | bytes | None]) -> Answers:
    """A verifier of the toy, except for the frames that `answer` answers."""

    def handle(frame: wire.ClientFrame) -> list[bytes]:
        own = answer(frame)
        if own is not None:
            return [own if isinstance(own, bytes) else wire.encode(own)]
        match frame:
            case wire.Hello():
                return [wire.encode(welcome(frame.number, MODEL, SERVING, None))]
            case wire.AskVocabulary():
                return [wire.encode(vocabulary_frame(frame.number, MODEL.tokenizer.entries()))]
            case wire.Open():
                return [wire.encode(wire.Opened(frame.number, 0))]
        return [wire.encode(wire.Finished(frame.number, 0.0))]

    return handle


# ---- the verifier refuses ----


def test_another_version_of_the_client(servers: Servers) -> None:
    with RawClient(servers.start().url, hello=False) as client:
        refused = refusal(client.ask(lambda number: wire.Hello(number, 99)))
        assert refused.final
        assert "version 99" in refused.message


def test_another_vocabulary_of_the_client(servers: Servers, folder: Path) -> None:
    server = servers.start()
    other = "0123456789abcdef"
    with pytest.raises(TargetError, match=other) as raised, connected(server.url, folder, fingerprint=other):
        pass
    assert FINGERPRINT in raised.value.message
    assert "family" in raised.value.hint
    with connected(server.url, folder, fingerprint=FINGERPRINT) as target:
        assert target.tokenizer.fingerprint == FINGERPRINT


def test_a_first_frame_that_is_no_hello(servers: Servers) -> None:
    with RawClient(servers.start().url, hello=False) as client:
        assert "not a hello" in refusal(client.ask(wire.Bye)).message


@pytest.mark.parametrize("key", ["secret", "schlüssel"])
def test_a_missing_or_wrong_key(servers: Servers, folder: Path, key: str) -> None:
    server = servers.start(how=replace(SERVING, keys=one_key(key)))
    for given in (None, "other", key + "x", key[:-1]):
        with pytest.raises(TargetError, match="refused the key"), connected(server.url, folder, api_key=given):
            pass
    with connected(server.url, folder, api_key=key) as target:
        assert len(rounds(target, drafter_for(*toys()), tokens=8)) > 0


# ---- the client refuses ----


def refused_by_the_client(answers: Answers, folder: Path, **how: str) -> TargetError:
    with answering(answers) as url, pytest.raises(TargetError) as raised, connected(url, folder, **how) as target:
        rounds(target, drafter_for(*toys()), tokens=8)
    assert raised.value.hint.endswith(".")
    return raised.value


def test_another_version_of_the_verifier(folder: Path) -> None:
    other = msgspec.structs.replace(welcome(1, MODEL, SERVING, None), version=99)
    error = refused_by_the_client(impostor(lambda f: other if isinstance(f, wire.Hello) else None), folder)
    assert "another version" in error.message


def test_another_vocabulary_of_the_verifier(folder: Path) -> None:
    error = refused_by_the_client(impostor(lambda frame: None), folder, fingerprint="0123456789abcdef")
    assert "instead of 0123456789abcdef" in error.message


def test_a_vocabulary_that_is_not_the_declared_one(folder: Path) -> None:
    lie = vocabulary_frame(2, [VocabularyEntry(0, b"x", control=False)])
    error = refused_by_the_client(impostor(lambda f: lie if isinstance(f, wire.AskVocabulary) else None), folder)
    assert "not the one it declares" in error.message
    assert not list(folder.rglob("*.bin")), "the lie was kept"


def test_answers_of_the_wrong_type(folder: Path) -> None:
    for wrong in (wire.Opened(0, 1), wire.Finished(0, 0.0)):
        error = refused_by_the_client(impostor(lambda f, w=wrong: w if isinstance(f, wire.Submit) else None), folder)
        assert "instead of Judged" in error.message


def test_verdicts_on_another_draft(folder: Path) -> None:
    def judge(frame: wire.ClientFrame, round: int, path: list[int]) -> wire.Frame | None:
        if not isinstance(frame, wire.Submit):
            return None
        nothing = (b"", b"")
        return wire.Judged(frame.number, round, pack(path), [], 1, "bonus", None, None, nothing, 0.0, 0.0)

    error = refused_by_the_client(impostor(lambda frame: judge(frame, 7, [])), folder)
    assert "round 7 instead of 0" in error.message
    for path in ([1], [0, 2], [-1], [99]):
        with (
            answering(impostor(lambda frame, path=path: judge(frame, 0, path))) as url,
            connected(url, folder) as target,
            pytest.raises(wire.WireError, match="path that was not drafted"),
        ):
            rounds(target, drafter_for(*toys()))


def test_an_answer_that_is_no_frame(folder: Path) -> None:
    with (
        answering(impostor(lambda frame: b"\xff\xff" if isinstance(frame, wire.Submit) else None)) as url,
        connected(url, folder) as target,
        pytest.raises(wire.WireError, match="cannot be read"),
    ):
        rounds(target, drafter_for(*toys()))


# ---- cached vocabularies ----


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the frames that requested a vocabulary, as they arrive."""
    times: list[int] = []

    def counted(number: int, entries: object) -> wire.Vocabulary:
        times.append(number)
        return vocabulary_frame(number, entries)

    monkeypatch.setattr(connection, "vocabulary_frame", counted)
    return times


def entries(server: VerifierServer, folder: Path) -> list[VocabularyEntry]:
    with connected(server.url, folder) as target:
        return list(target.tokenizer.entries())


def test_a_vocabulary_is_fetched_once(servers: Servers, folder: Path, asked: list[int]) -> None:
    server = servers.start()
    for _ in range(3):
        assert entries(server, folder) == list(MODEL.tokenizer.entries())
    assert len(asked) == 1


@pytest.mark.parametrize("content", [b"", b"\x00\x01", wire.encode(wire.Opened(1, 0))])
def test_a_file_that_is_broken_is_fetched_again(
    servers: Servers, folder: Path, asked: list[int], content: bytes
) -> None:
    server = servers.start()
    entries(server, folder)
    (kept,) = folder.rglob("*.bin")
    whole = kept.read_bytes()
    another = wire.encode(vocabulary_frame(1, [VocabularyEntry(0, b"x", control=False)]))
    for bad in (content, whole[:-9], another, wire.encode(vocabulary_frame(1, []))):
        kept.write_bytes(bad)
        assert entries(server, folder) == list(MODEL.tokenizer.entries())
        assert kept.read_bytes() == whole
    assert len(asked) == 5


def test_a_folder_that_cannot_be_written_to_costs_only_time(servers: Servers, tmp_path: Path, asked: list[int]) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    server = servers.start()
    for _ in range(2):
        assert entries(server, blocked) == list(MODEL.tokenizer.entries())
    assert len(asked) == 2
