"""Several clients at once, and clients that disconnect, do not read, or reconnect."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from support.live_server import Client, Server, Toys, poll

START = {"prompt": "once upon a time", "k": 3, "ignore_eos": True}


@pytest.fixture
def holder(client: Client, toys: Toys) -> Client:
    """A client whose run holds the models, in a pass that waits at the closed gate."""
    toys.gate.limit(2)
    client.send(**START | {"max_tokens": 4096})
    toys.gate.wait_until_blocked()
    client.until("started")
    return client


def test_a_second_client_receives_its_place_and_is_then_served(
    holder: Client, connected: Callable[[], Client], toys: Toys, server: Server
) -> None:
    second = connected()
    second.send(**START)
    queued = second.receive()

    assert (queued["type"], queued["place"]) == ("queued", 1)
    assert server.health()["runs_waiting"] == 1
    holder.send(type="cancel")
    toys.gate.open()
    assert holder.last("done")["finish_reason"] == "cancelled"
    events = second.until("done", "error")
    assert [e["type"] for e in events[:1] + events[-1:]] == ["started", "done"]
    assert {e["run"] for e in events} == {queued["run"]}
    assert server.health()["runs_waiting"] == 0


def test_a_third_client_receives_each_new_place(
    holder: Client, connected: Callable[[], Client], toys: Toys, server: Server
) -> None:
    second, third = connected(), connected()
    second.send(**START)
    assert second.receive()["place"] == 1
    third.send(**START)
    assert third.receive()["place"] == 2
    holder.send(type="cancel")
    poll(lambda: server.health()["runs_waiting"] == 2, "both are waiting")
    toys.gate.limit(1)  # the pass that the first run is in; the second run's first pass waits again

    assert holder.last("done")["finish_reason"] == "cancelled"
    assert second.receive()["type"] == "started"
    assert third.receive()["place"] == 1
    toys.gate.open()
    assert second.last("done", "error")["type"] == "done"
    assert [e["type"] for e in third.until("done", "error")][:1] == ["started"]


def test_cancelling_while_queued_leaves_the_queue_at_once(
    holder: Client, connected: Callable[[], Client], toys: Toys
) -> None:
    second, third = connected(), connected()
    second.send(**START)
    second.until("queued")
    third.send(**START)
    third.until("queued")
    second.send(type="cancel")

    gone = second.refused()  # although the models are still held
    assert gone["code"] == "cancelled"
    assert third.receive()["place"] == 1
    toys.gate.open()
    holder.send(type="cancel")
    assert third.last("done", "error")["type"] == "done"
    assert second.run()[-1]["type"] == "done"


def test_a_cancel_that_follows_its_start_at_once_ends_the_run(client: Client) -> None:
    client.send(**START | {"max_tokens": 4096})
    client.send(type="cancel")
    last = client.last("done", "error")

    assert last.get("finish_reason", last.get("code")) == "cancelled"
    assert client.run()[-1]["type"] == "done"


@pytest.mark.parametrize("leave", ["disconnect", "vanish"])
def test_disconnecting_while_queued_leaves_the_queue(
    holder: Client, connected: Callable[[], Client], toys: Toys, server: Server, leave: str
) -> None:
    second, third = connected(), connected()
    second.send(**START)
    second.until("queued")
    third.send(**START)
    third.until("queued")
    getattr(second, leave)()

    assert third.receive()["place"] == 1
    assert server.health()["runs_waiting"] == 1
    holder.send(type="cancel")
    toys.gate.open()
    assert third.last("done", "error")["type"] == "done"


@pytest.mark.parametrize("leave", ["disconnect", "vanish"])
def test_disconnecting_mid_run_frees_the_models(
    holder: Client, connected: Callable[[], Client], toys: Toys, leave: str
) -> None:
    getattr(holder, leave)()
    second = connected()
    second.send(**START)
    second.until("queued")
    toys.gate.limit(1)  # the pass that the abandoned run is in, and not one more of it

    assert second.receive()["type"] == "started"
    toys.gate.open()
    assert second.last("done", "error")["type"] == "done"


def test_updates_sent_while_queued_apply_from_the_first_round(
    holder: Client, connected: Callable[[], Client], toys: Toys
) -> None:
    second = connected()
    second.send(**START)
    second.until("queued")
    second.send(type="update", k=1)
    second.send_raw("?")
    second.refused()
    holder.send(type="cancel")
    toys.gate.open()
    events = second.until("done")

    [updated] = [e for e in events if e["type"] == "updated"]
    assert (updated["round"], updated["k"]) == (0, 1)
    assert {e["k"] for e in events if e["type"] == "metrics"} <= {0, 1}


def test_a_client_that_never_reads_does_not_block_the_others(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(send_buffer=4096)
    server.wait_until("ready")
    with server.mute_client() as mute:
        mute.send(prompt="once upon a time", k=0, ignore_eos=True, max_tokens=4096)
        with server.client() as other:
            poll(lambda: other.run(max_tokens=2)[-1]["type"] == "done", "the other client is served")
            # Until the mute client has read its events it cannot start another run; other clients can.
            mute.send(prompt="once upon a time", k=0)
            assert other.run()[-1]["type"] == "done"
            assert server.health()["runs_waiting"] == 0


def test_after_a_restart_a_client_reconnects_and_runs(serve: Callable[..., Server], toys: Toys) -> None:
    first = serve()
    first.wait_until("ready")
    with first.client() as client:
        expected = client.run(temperature=1.0, seed=3)[-1]["token_ids"]
        toys.gate.limit(3)
        client.send(**START | {"max_tokens": 4096})
        toys.gate.wait_until_blocked()
        first.ask_to_stop()
        client.wait_until_closed()
        toys.gate.open()
        first.stop()
    second = serve(port=first.port)
    second.wait_until("ready")
    with second.client() as client:
        assert client.run(temperature=1.0, seed=3)[-1]["token_ids"] == expected


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # what could not be sent dies with the loop
def test_the_server_stops_although_a_client_never_reads(toys: Toys) -> None:
    server = Server(toys.settings, toys.load, send_buffer=4096)
    server.wait_until("ready")
    with server.mute_client() as mute:
        mute.send(prompt="once upon a time", k=0, ignore_eos=True, max_tokens=4096)
        poll(lambda: toys.gate.passes > 300, "the run is well under way")
        server.stop()
    del server, mute
    gc.collect()
