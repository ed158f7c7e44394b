"""The bad networks that tests are made with are as bad as they say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from support import netem
from support.netem import Namespaces
from support.proxy import DIRECTIONS, PATIENCE_S, Counts, Direction, Faults, Proxy

DELAY_S = 0.05


class Echo(socketserver.ThreadingTCPServer):
    """Answers each byte with itself, behind what it greets with, and remembers how its connections ended."""

    daemon_threads = False

    def __init__(self, greeting: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Echoing)
        self.greeting = greeting
        self.ends: list[str] = []
        self._ended = threading.Condition()
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def note(self, end: str) -> None:
        with self._ended:
            self.ends.append(end)
            self._ended.notify_all()

    def wait_for_ends(self, number: int) -> list[str]:
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.ends) >= number, PATIENCE_S), self.ends
            return list(self.ends)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Echoing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Echo)
        tcp: socket.socket = self.request
        try:
            tcp.sendall(self.server.greeting)
            while data := tcp.recv(65_536):
                tcp.sendall(data)
            self.server.note("closed")
        except OSError:
            self.server.note("reset")


@contextlib.contextmanager
def echoing(greeting: bytes = b"") -> Iterator[Echo]:
    echo = Echo(greeting)
    try:
        yield echo
    finally:
        echo.stop()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as echo:
        yield echo


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S)


def read(tcp: socket.socket, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes:
        piece = tcp.recv(n_bytes - len(data))
        if not piece:
            raise ConnectionError(f"closed behind {data!r}")
        data += piece
    return data


def read_to_the_end(tcp: socket.socket) -> tuple[bytes, str]:
    """All that comes, and whether a close or a reset came behind it."""
    data = b""
    try:
        while piece := tcp.recv(65_536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "closed"


def assert_reset(proxy: Proxy) -> None:
    """A new connection is, at once or soon."""
    with pytest.raises(ConnectionResetError), dial(proxy) as tcp:
        tcp.recv(1)


def say(tcp: socket.socket, words: bytes) -> None:
    tcp.sendall(words)
    assert read(tcp, len(words)) == words


def test_a_good_network_passes_everything_on_both_ends_included(echo: Echo, proxy: Proxy) -> None:
    sent = bytes(range(256)) * 4096
    with dial(proxy) as client:

        def write() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        received = read_to_the_end(client)
        writer.join()
    assert received == (sent, "closed")
    assert echo.wait_for_ends(1) == ["closed"]
    counts = proxy.wait_until(lambda counts: counts.live == 0, "the connection ends")
    assert (counts.up, counts.down, counts.connections, counts.cut) == (len(sent), len(sent), 1, 0)
    assert proxy.url("ws") == f"ws://127.0.0.1:{proxy.port}"


def test_a_clients_reset_reaches_the_server(echo: Echo, proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"x")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert echo.wait_for_ends(1) == ["reset"]


def test_a_delay_is_kept_each_way(proxy: Proxy) -> None:
    proxy.delay_s = DELAY_S
    with dial(proxy) as client:
        for _ in range(3):
            started = time.monotonic()
            say(client, b"there and back")
            assert time.monotonic() - started >= 2 * DELAY_S


def holds(n_bytes: int, counts: Counts) -> bool:
    return counts.held_up == n_bytes


def test_delays_overlap(proxy: Proxy) -> None:
    proxy.delay_s = PATIENCE_S
    with dial(proxy) as client:
        for number in range(1, 6):
            client.sendall(b"x")
            proxy.wait_until(partial(holds, number), "read")
        last = proxy.do(lambda: proxy.links[0].flows["up"].due_s - asyncio.get_running_loop().time())
        assert last <= PATIENCE_S  # and not five times that
        proxy.cut()
        assert proxy.counts.held_up == 0


def test_a_delay_that_shrinks_lets_nothing_overtake(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"x")
        proxy.delay_s = DELAY_S
        client.sendall(b"slow")
        proxy.wait_until(lambda counts: counts.held_up + counts.up == 5, "read")
        proxy.delay_s = 0.0
        client.sendall(b"fast")
        assert read(client, 8) == b"slowfast"


def test_a_throttle_lets_no_more_through(echo: Echo) -> None:
    with Proxy("127.0.0.1", echo.port, bytes_per_s=100_000) as proxy, dial(proxy) as client:
        started = time.monotonic()
        say(client, bytes(20_000))
        assert time.monotonic() - started >= 0.2


def test_a_stall_holds_everything_and_loses_nothing(echo: Echo, proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"x")
        proxy.stall()
        client.sendall(b"held")
        with dial(proxy) as late:
            late.sendall(b"late")
            client.settimeout(DELAY_S)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert (proxy.counts.connections, proxy.counts.up) == (1, 1)
            proxy.resume()
            client.settimeout(PATIENCE_S)
            assert read(client, 4) == b"held"
            assert read(late, 4) == b"late"


def test_a_stall_holds_what_was_late_already(proxy: Proxy) -> None:
    with dial(proxy) as client:
        proxy.delay_s = DELAY_S
        client.sendall(b"late")
        proxy.wait_until(lambda counts: counts.held_up + counts.up == 4, "read")
        proxy.stall()
        passed = proxy.counts.up
        client.settimeout(2 * DELAY_S)
        with contextlib.suppress(TimeoutError):
            client.recv(4)
        assert proxy.counts.up == passed
        proxy.resume()
        proxy.wait_until(lambda counts: counts.up == 4, "passed on")


def send_until_stuck(client: socket.socket) -> int:
    client.settimeout(DELAY_S)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 50_000_000:
            sent += client.send(bytes(1000))
    return sent


def test_the_sender_of_a_stalled_network_soon_has_to_wait(echo: Echo) -> None:
    with Proxy("127.0.0.1", echo.port, buffer_bytes=4096) as proxy, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", proxy.port))
        proxy.stall()
        assert send_until_stuck(client) < 65_536


def test_the_sender_to_who_does_not_read_has_to_wait_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, Proxy(*mute.getsockname()) as proxy, dial(proxy) as client:
        assert send_until_stuck(client) < 50_000_000


def test_a_cut_resets_both_sides(echo: Echo, proxy: Proxy) -> None:
    with dial(proxy) as one, dial(proxy) as other:
        say(one, b"x")
        say(other, b"x")
        assert proxy.cut() == 2
        assert read_to_the_end(one) == read_to_the_end(other) == (b"", "reset")
    assert echo.wait_for_ends(2) == ["reset", "reset"]
    assert (proxy.counts.live, proxy.counts.cut) == (0, 2)
    with dial(proxy) as client:
        say(client, b"new ones are whole")


@pytest.mark.parametrize("n_bytes", [1, 1000, 70_001])
def test_a_cut_comes_behind_the_very_byte_that_was_named(echo: Echo, proxy: Proxy, n_bytes: int) -> None:
    with dial(proxy) as client:
        say(client, b"before")
        happened = proxy.cut_after(n_bytes, "down")
        with contextlib.suppress(OSError):
            client.sendall(bytes(100_000))
        data, end = read_to_the_end(client)
    assert (len(data), end) == (n_bytes, "reset")
    assert happened.wait(PATIENCE_S)
    assert proxy.counts.down == 6 + n_bytes
    with dial(proxy) as client:
        say(client, bytes(n_bytes + 1))  # once


def test_a_cut_on_the_way_up_counts_from_the_start_of_a_new_connection(echo: Echo, proxy: Proxy) -> None:
    proxy.cut_after(4, "up")
    with dial(proxy) as client:
        client.sendall(b"0123456789")
        data, end = read_to_the_end(client)
    assert end == "reset"
    assert b"0123".startswith(data)
    assert proxy.counts.up == 4
    assert echo.wait_for_ends(1) == ["reset"]


def test_a_cut_behind_no_byte_at_all_is_a_reset_at_the_start(proxy: Proxy) -> None:
    happened = proxy.cut_after(0, "down")
    assert_reset(proxy)
    assert happened.wait(PATIENCE_S)
    with dial(proxy) as client:
        say(client, b"x")
        assert proxy.cut_after(0, "up").wait(PATIENCE_S)
        assert read_to_the_end(client) == (b"", "reset")


def test_what_is_dropped_one_way_goes_on_the_other_way(echo: Echo) -> None:
    with echoing(b"hello") as greeter, Proxy("127.0.0.1", greeter.port) as proxy, dial(proxy) as client:
        assert read(client, 5) == b"hello"
        say(client, b"x")
        assert proxy.drop("down") == 1
        client.sendall(b"unanswered")
        counts = proxy.wait_until(lambda counts: counts.swallowed_down == 10, "swallowed")
        assert (counts.up, counts.down, counts.live) == (11, 6, 1)
        client.shutdown(socket.SHUT_WR)
        assert greeter.wait_for_ends(1) == ["closed"]  # which the client does not hear
        assert proxy.counts.live == 1
        with dial(proxy) as other:
            assert read(other, 5) == b"hello"
        assert proxy.cut() >= 1
        assert read_to_the_end(client) == (b"", "reset")


def test_a_lasting_drop_holds_for_new_connections_until_healed(proxy: Proxy) -> None:
    assert proxy.drop("up", lasting=True) == 0
    with dial(proxy) as client:
        client.sendall(b"unheard")
        proxy.wait_until(lambda counts: counts.swallowed_up == 7, "swallowed")
    proxy.heal()
    with dial(proxy) as client:
        say(client, b"heard")


def test_who_is_refused_is_reset_and_live_connections_go_on(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"x")
        proxy.refuse()
        assert_reset(proxy)
        say(client, b"y")
        proxy.accept()
        with dial(proxy) as accepted:
            say(accepted, b"z")
    assert (proxy.counts.refused, proxy.counts.connections) == (1, 2)


def test_a_new_target_takes_new_connections_and_a_missing_one_resets_them(echo: Echo, proxy: Proxy) -> None:
    with dial(proxy) as client, echoing(b"hello") as other:
        say(client, b"x")
        proxy.retarget("127.0.0.1", other.port)
        with dial(proxy) as new:
            assert read(new, 5) == b"hello"
        say(client, b"the old server")
    proxy.retarget("127.0.0.1", other.port)
    assert_reset(proxy)


def test_closing_the_proxy_ends_what_is_left_even_in_a_stall(echo: Echo) -> None:
    with Proxy("127.0.0.1", echo.port) as proxy, dial(proxy) as client:
        say(client, b"x")
        proxy.stall()
        proxy.close()
        assert read_to_the_end(client) == (b"", "reset")
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        with pytest.raises(RuntimeError):
            proxy.stall()


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
