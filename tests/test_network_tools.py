"""The proxy that tests are made with is as bad a network as it says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from support.echo import Echo, dial, echoing, read, read_to_the_end, say
from support.proxy import PATIENCE_S, Counts, Proxy

DELAY_S = 0.05


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as echo:
        yield echo


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


def assert_reset(proxy: Proxy) -> None:
    """A new connection is, at once or soon."""
    with pytest.raises(ConnectionResetError), dial(proxy) as tcp:
        tcp.recv(1)


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
