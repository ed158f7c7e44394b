"""Network faults cost time and never change a token: every verdict equals the one without faults."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from speculatoviz.core.types import Draft, Request
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.errors import TargetError
from speculatoviz.server.verifier import sessions
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from speculatoviz.targets.verifier.target import VerifierTarget
from support import verifier_process
from support.faults import Faults
from support.proxy import Proxy
from support.proxy_flows import Direction
from support.verifier import connected, drafter_for, rounds, serving
from support.verifier_client import RawClient, bits, here, request, toys, verdict_fields, watched
from support.verifier_servers import Servers
from support.verifier_twins import FreshTarget

RUNS, AT_ONCE = 120, 8
ALERT = ConnectionTimeouts(
    total_s=60.0, first_s=60.0, open_s=5.0, ping_s=0.1, pong_s=0.2, wait_s=0.005, longest_wait_s=0.05
)
Bits = list[tuple[object, ...]]
Through = tuple[Proxy, VerifierTarget]


def drafter() -> ModelDrafter:
    return drafter_for(*toys())


def undisturbed(seed: int = 0) -> Bits:
    return bits(rounds(here(toys()[0]), drafter(), seed=seed))


@contextmanager
def through(port: int, folder: Path, timeouts: ConnectionTimeouts = ALERT) -> Iterator[Through]:
    with Proxy("127.0.0.1", port) as proxy, connected(proxy.url("ws"), folder, timeouts=timeouts) as target:
        yield proxy, target


@pytest.fixture
def bad_network(servers: Servers, folder: Path) -> Iterator[Through]:
    with through(servers.start().port, folder) as both:
        yield both


# ---- many faults ----


def faulty(seed: int, port: int, folder: Path) -> tuple[int, Bits]:
    """The number of faults that happened, and the rounds of the run."""
    faults = Faults(seed, connections=3, up_bytes=6_000, down_bytes=6_000)
    with Proxy("127.0.0.1", port) as proxy, faults.attached(proxy):
        with connected(proxy.url("ws"), folder, timeouts=ALERT) as target:
            done = bits(rounds(target, drafter(), seed=seed))
        return len(faults.happened), done


def all_faulty(runs: int, server_port: int, folder: Path) -> int:
    """The number of runs with a fault. Every run must give the rounds of a run without faults."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        disturbed = 0
        for seed, (faults, done) in enumerate(pool.map(lambda n: faulty(n, server_port, folder), range(runs))):
            assert done == undisturbed(seed), f"seed {seed}"
            disturbed += faults > 0
    return disturbed


def test_nothing_is_lost_or_repeated_in_faulty_runs(servers: Servers, folder: Path) -> None:
    server = servers.start(how=VerifierOptions(context_tokens=512, sessions=2 * AT_ONCE))
    assert all_faulty(RUNS, server.port, folder) > 0.9 * RUNS


@pytest.mark.full
def test_nothing_is_lost_or_repeated_in_many_faulty_runs(servers: Servers, folder: Path) -> None:
    server = servers.start(how=VerifierOptions(context_tokens=512, sessions=2 * AT_ONCE))
    assert all_faulty(8 * RUNS, server.port, folder) > 7 * RUNS


# ---- one fault at a time ----


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_cut_at_any_byte_of_a_round(bad_network: Through, direction: Direction) -> None:
    """In each round the connection is cut a few bytes later in the frame than in the round before."""
    proxy, target = bad_network
    cuts: list[threading.Event] = []

    def cut(round: int) -> None:
        if all(event.is_set() for event in cuts):
            cuts.append(proxy.cut_after(1 + 37 * round, direction))

    assert bits(watched(target, drafter(), request(), cut)) == undisturbed()
    assert sum(event.is_set() for event in cuts) >= 3
    assert target.connections >= 4


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_half_open_connection_is_noticed(bad_network: Through, direction: Direction) -> None:
    proxy, target = bad_network
    drop: Callable[[int], object] = lambda round: proxy.drop(direction) if round in {1, 3} else None  # noqa: E731
    assert bits(watched(target, drafter(), request(), drop)) == undisturbed()
    assert target.connections == 3


def test_a_network_that_stalls_and_recovers(bad_network: Through) -> None:
    """The stall is so long that the client drops the connection and tries to make others meanwhile."""
    proxy, target = bad_network

    def stall(round: int) -> None:
        if round == 2:
            proxy.stall()
            threading.Timer(1.0, proxy.resume).start()

    assert bits(watched(target, drafter(), request(), stall)) == undisturbed()
    assert target.connections > 1


def test_a_pause_of_two_seconds_is_waited_out(servers: Servers, folder: Path) -> None:
    with through(servers.start().port, folder, ConnectionTimeouts()) as (proxy, target):

        def pause(round: int) -> None:
            if round == 2:
                proxy.stall()
                threading.Timer(2.0, proxy.resume).start()

        done = watched(target, drafter(), request(), pause)
        assert bits(done) == undisturbed()
        assert done[2].times.network_ms > 1_500.0
        assert target.connections == 1


def test_a_verifier_killed_during_a_round_and_started_again(folder: Path) -> None:
    processes = [verifier_process.started(0)]
    try:
        port = int(verifier_process.address(processes[0]).rpartition(":")[2])
        with through(port, folder) as (proxy, target):

            def kill_in_flight(before: int) -> None:
                proxy.wait_until(lambda counts: counts.up > before, "a draft is sent")
                verifier_process.end(processes[0])
                processes.append(verifier_process.started(port))

            def stop(round: int) -> None:
                if round == 3:
                    os.kill(processes[0].pid, signal.SIGSTOP)  # it will not answer what comes now
                    threading.Thread(target=kill_in_flight, args=(proxy.counts.up,)).start()

            assert bits(watched(target, drafter(), request(), stop)) == undisturbed()
            assert target.connections == 2
    finally:
        for process in processes:
            verifier_process.end(process)


# ---- giving up ----


def test_a_client_gives_up_in_words(folder: Path) -> None:
    brief = ConnectionTimeouts(total_s=0.3, open_s=0.2, wait_s=0.01, longest_wait_s=0.05)
    with serving(toys()[0]) as server, through(server.port, folder, brief) as (proxy, target):

        def leave(round: int) -> None:
            if round == 2:
                proxy.refuse()
                proxy.cut()

        with pytest.raises(TargetError, match="cannot be reached") as raised:
            watched(target, drafter(), request(), leave)
        assert "Check that it runs" in raised.value.hint
        proxy.accept()
        assert bits(rounds(target, drafter())) == undisturbed(), "the next run finds the way back"


def test_a_verifier_that_cannot_be_reached_is_reported(folder: Path) -> None:
    brief = ConnectionTimeouts(first_s=0.1, open_s=0.2, wait_s=0.01, longest_wait_s=0.05)
    with (
        Proxy("127.0.0.1", 9) as proxy,
        pytest.raises(TargetError, match="cannot be reached"),
        connected(proxy.url("ws"), folder, timeouts=brief),
    ):
        pass


def test_a_stream_that_is_cut_raises(bad_network: Through) -> None:
    proxy, target = bad_network
    stream = target.stream(request())
    assert next(stream) is not None
    proxy.cut()
    with pytest.raises(TargetError, match="was lost"):
        list(stream)


# ---- the same round twice ----


def a_draft(round: int = 0) -> Draft:
    return Draft.chain(round, [3, 4], (), "test")


def verdicts(servers: Servers, asked: Request) -> Iterator[tuple[object, ...]]:
    """Verdicts on one draft: the first, the second, one after a reconnect; then the same of a new verifier."""
    for port in (servers.start().port, servers.start().port):
        url = f"ws://127.0.0.1:{port}"
        with RawClient(url) as client:
            client.open(asked)
            yield verdict_fields(client.submit(a_draft(), 2))
            yield verdict_fields(client.submit(a_draft(), 2))
        with RawClient(url) as client:
            opened = client.open(asked)
            assert isinstance(opened, wire.Opened)
            assert opened.held == 2, "the session was not resumed"
            yield verdict_fields(client.submit(a_draft(), 2))


def test_a_round_sent_twice_gets_the_same_verdict(servers: Servers) -> None:
    assert len(set(map(repr, verdicts(servers, request())))) == 1


def test_another_draft_for_the_same_position_rewinds_the_last_round(servers: Servers) -> None:
    expected = []
    for earlier in (None, Draft.chain(0, [9, 9, 9], (), "test")):
        with RawClient(servers.start().url) as client:
            client.open(request())
            if earlier is not None:
                client.submit(earlier, 2)
            expected.append(verdict_fields(client.submit(a_draft(), 2)))
    assert expected[0] == expected[1]


def test_a_verifier_with_fresh_randomness_is_caught(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LocalTarget", FreshTarget)
    assert len(set(map(repr, verdicts(servers, request())))) > 1


def test_faulty_runs_on_a_verifier_with_fresh_randomness_are_caught(
    servers: Servers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LocalTarget", FreshTarget)
    with pytest.raises(AssertionError, match="seed 0"):
        all_faulty(1, servers.start().port, folder)
