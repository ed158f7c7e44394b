"""llama.cpp's own server as a peer: which ways there are, and real runs of the small model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from speculatoviz.bench.peers.llamacpp_server import (
    DRAFT_DEPTHS,
    NGRAM_TYPES,
    LlamaServer,
    RunningServers,
    ServerOptions,
    server_options,
)
from speculatoviz.bench.peers.runs import Question
from speculatoviz.errors import TargetError
from speculatoviz.lab.questions import Prompt
from support.real_servers import lacking

NO_SERVER = lacking("xllamacpp")
QUESTION = Question(Prompt("coding", 0, "sort"), tuple(range(40, 90)), 6, 0.0)


def test_the_ways_are_those_of_the_benchmark() -> None:
    plain = list(server_options("t.gguf", "", 512, 2, sampled=False))
    greedy = list(server_options("t.gguf", "d.gguf", 512, 2, sampled=False))
    sampled = list(server_options("t.gguf", "d.gguf", 512, 2, sampled=True))

    assert [options.type for options in plain] == ["", *NGRAM_TYPES]
    assert [options.depth for options in greedy if options.depth] == list(DRAFT_DEPTHS)
    assert not any(options.probabilistic for options in greedy)
    assert sum(options.probabilistic for options in sampled) == len(DRAFT_DEPTHS)
    assert len({options.way for options in sampled}) == len(sampled)


@pytest.mark.skipif(NO_SERVER is not None, reason=NO_SERVER or "")
@pytest.mark.smol
@pytest.mark.parametrize(("kind", "depth"), [("", 0), ("DRAFT_SIMPLE", 2), ("NGRAM_SIMPLE", 0)])
def test_it_decodes_and_reports_its_times(smol_path: Path, kind: str, depth: int) -> None:
    options = ServerOptions("a way", str(smol_path), str(smol_path), 512, 1, kind, depth)
    with closing(LlamaServer(options)) as server:
        assert server.pid is None
        timing = server.decode(QUESTION)
        assert server.pid is not None

    assert timing.tokens == 5  # the first of six comes from the prompt's own pass
    assert timing.ms > 0.0
    if kind == "DRAFT_SIMPLE":  # the model drafts for itself
        assert timing.drafted > 0
        assert timing.accepted <= timing.drafted


def scripted_server(
    path: Path, running: RunningServers, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> LlamaServer:
    """A server whose process is another program, and whose answers are given."""
    server = LlamaServer(ServerOptions(path.stem, str(path), "", 512, 1), running)

    def start() -> subprocess.Popen[str]:
        log.append(path.stem)
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)

    monkeypatch.setattr(server, "_start", start)
    monkeypatch.setattr(server, "_answer", lambda _: {"timings": {"predicted_n": 6, "predicted_ms": 1.0}})
    return server


def test_where_memory_is_short_the_server_that_has_waited_longest_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    free_bytes = [1000]
    running = RunningServers(lambda: free_bytes[0] - 200 * sum(server.pid is not None for server in servers))
    servers: list[LlamaServer] = []
    for name in "abc":
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(b"x" * 200)  # takes 400 bytes, is estimated so
        servers.append(scripted_server(file, running, monkeypatch, log))
    a, b, c = servers
    with closing(a), closing(b), closing(c):
        for server in (a, b, a):
            server.decode(QUESTION)
        assert log == ["a", "b"]
        free_bytes[0] = 700  # 300 are left
        c.decode(QUESTION)
        assert [server.pid is not None for server in servers] == [True, False, True]  # b had waited longest
        b.decode(QUESTION)
        assert [server.pid is not None for server in servers] == [False, True, True]
        assert log == ["a", "b", "c", "b"]


@pytest.mark.skipif(NO_SERVER is not None, reason=NO_SERVER or "")
def test_a_server_that_cannot_start_is_told_in_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")

    server = LlamaServer(ServerOptions("plain", str(broken), "", 512, 1))
    with closing(server), pytest.raises(TargetError, match="did not start"):
        server.decode(QUESTION)


@pytest.mark.skipif(NO_SERVER is not None, reason=NO_SERVER or "")
@pytest.mark.smol
def test_a_server_that_dies_is_told_in_words(smol_path: Path) -> None:
    with closing(LlamaServer(ServerOptions("plain", str(smol_path), "", 512, 1))) as server:
        server.decode(QUESTION)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(TargetError, match="does not answer"):
            server.decode(QUESTION)
