"""The random faults and the namespaces that tests are made with are as bad as they say."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support import netem
from support.echo import Echo, dial, echoing, say
from support.faults import Faults
from support.netem import Namespaces
from support.proxy import PATIENCE_S, Proxy
from support.proxy_flows import DIRECTIONS, Direction


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as echo:
        yield echo


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


def talk(proxy: Proxy, words: bytes) -> None:
    """Say words until each was answered, on as many connections as it takes."""
    said = 0
    while said < len(words):
        with dial(proxy) as client, contextlib.suppress(ConnectionError):
            while said < len(words):
                say(client, words[said : said + 100])
                said += 100


def test_faults_follow_from_the_seed() -> None:
    plans = [[Faults(seed).plan(number) for number in range(5)] for seed in range(200)]
    assert plans == [[Faults(seed).plan(number) for number in range(5)] for seed in range(200)]
    assert len({str(plan) for plan in plans}) == 200
    faults = [fault for plan in plans for faults in plan for fault in faults]
    assert {(fault.kind, fault.direction) for fault in faults} == {
        (kind, direction) for kind in ("cut", "stall", "swallow") for direction in DIRECTIONS
    }
    most: dict[Direction, int] = {"up": 4_000, "down": 64_000}
    assert all(1 <= fault.at_bytes <= most[fault.direction] for fault in faults)
    assert all(fault.seconds == 0 if fault.kind == "cut" else 0.02 <= fault.seconds <= 0.2 for fault in faults)
    assert Faults(0).plan(5) == ()


@pytest.mark.parametrize("seed", range(2))
def test_faults_happen_as_planned_and_who_tries_again_gets_through(echo: Echo, proxy: Proxy, seed: int) -> None:
    with Faults(seed, connections=3, up_bytes=2000, down_bytes=2000).attached(proxy) as faults:
        talk(proxy, bytes(range(250)) * 40)
    assert faults.happened
    assert set(faults.happened) <= {(number, fault) for number in range(3) for fault in faults.plan(number)}
    assert proxy.counts.cut == 3  # every end was reached: all three together lie within what was said


def test_faults_end_with_the_attachment(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"x")
        with Faults(0, up_bytes=50, down_bytes=50).attached(proxy):
            pass
        say(client, bytes(1000))


SERVER = """
import socket
with socket.create_server(("192.0.2.1", 7)) as listener:
    print("listening", flush=True)
    tcp, _ = listener.accept()
    with tcp:
        while data := tcp.recv(65536):
            tcp.sendall(data)
"""

CLIENT = """
import socket, time
with socket.create_connection(("192.0.2.1", 7), 120) as tcp:
    for _ in range(5):
        started = time.monotonic()
        tcp.sendall(b"x")
        assert tcp.recv(1) == b"x"
        print(time.monotonic() - started)
"""


def round_trips(namespaces: Namespaces) -> list[float]:
    server = namespaces.start("server", [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "listening\n"
    client = namespaces.run("client", [sys.executable, "-c", CLIENT], stdout=subprocess.PIPE, text=True)
    assert server.wait(PATIENCE_S) == 0
    return [float(line) for line in client.stdout.split()]


@pytest.fixture
def namespaces_possible() -> None:
    if (reason := netem.namespaces_available()) is not None:
        pytest.skip(reason)


@pytest.fixture
def netem_possible() -> None:
    if (reason := netem.available()) is not None:
        pytest.skip(reason)


@pytest.mark.usefixtures("namespaces_possible")
def test_namespaces_reach_each_other_and_nobody_else() -> None:
    with Namespaces() as namespaces, Namespaces() as others:
        assert len(round_trips(namespaces)) == 5
        assert len(round_trips(others)) == 5  # the same addresses, another wire
        with socket.create_server(("127.0.0.1", 0)) as outside:
            dial_it = f"import socket; socket.create_connection(('127.0.0.1', {outside.getsockname()[1]}))"
            tried = namespaces.run("client", [sys.executable, "-c", dial_it], check=False, stderr=subprocess.PIPE)
        assert b"ConnectionRefusedError" in tried.stderr


@pytest.mark.usefixtures("namespaces_possible")
def test_namespaces_end_what_runs_in_them_even_after_failures() -> None:
    with contextlib.suppress(ZeroDivisionError), Namespaces() as namespaces:
        process = namespaces.start("server", ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        raise ZeroDivisionError
    assert process.returncode == -9
    with pytest.raises(OSError, match="tc qdisc"), Namespaces(loss_percent=200.0):
        pass


@pytest.mark.usefixtures("netem_possible")
def test_netem_delays_each_packet() -> None:
    with Namespaces(rtt_ms=40.0) as namespaces:
        assert min(round_trips(namespaces)) >= 0.04


@pytest.mark.usefixtures("netem_possible")
def test_netem_loses_packets_and_tcp_sends_them_again() -> None:
    with Namespaces(loss_percent=20.0) as namespaces:
        assert len(round_trips(namespaces)) == 5
