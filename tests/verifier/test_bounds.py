"""What a verifier does not take: too many, too much, too fast; and that it serves others on meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from speculatoviz.core.types import Draft
from speculatoviz.errors import SpeculatoVizError, TargetError
from speculatoviz.server.verifier import connection
from speculatoviz.server.verifier.app import Serving
from speculatoviz.server.verifier.connection import Bounds
from speculatoviz.server.verifier.passes import Passes
from speculatoviz.server.verifier.seats import BusyError, OutOfStepError, Seats
from speculatoviz.targets import wire
from speculatoviz.targets.framing import open_frame, submit_frame
from support.live_server import poll
from support.proxy import Proxy
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, refusal, request, said, toys
from support.verifier_models import WatchedToy
from support.verifier_servers import Servers

DRAFT = Draft.chain(0, [3, 4], (), "test")
SMALL = Serving(
    context_tokens=64, sessions=2, bounds=Bounds(draft_tokens=4, frame_bytes=2_000, frames_per_s=50.0), api_key=None
)


@pytest.fixture
def model() -> Iterator[WatchedToy]:
    model = WatchedToy()
    yield model
    model.gate.open()


@pytest.fixture
def server(servers: Servers, model: WatchedToy) -> VerifierServer:
    return servers.start(model, SMALL)


def seats(server: VerifierServer) -> Seats:
    found = server.app.state.seats
    assert isinstance(found, Seats)
    return found


def assert_serves(server: VerifierServer, folder: Path) -> None:
    """A whole run comes out as it should."""
    with connected(server.url, folder) as target:
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def name(number: int) -> bytes:
    return bytes([number]) * 16


# ---- sessions ----


def test_more_sessions_than_there_are_get_a_refusal(server: VerifierServer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(3)]
        for number in range(2):
            assert isinstance(clients[number].open(request(), name(number)), wire.Opened)
        refused = refusal(clients[2].open(request(), name(2)))
        assert (refused.code, refused.final) == ("busy", True)
        assert refused.message == "All 2 sessions of this verifier are in use."
        assert judged(clients[0].submit(DRAFT, 2)).round == 0


def test_a_client_that_was_refused_can_try_again(server: VerifierServer, folder: Path) -> None:
    with connected(server.url, folder) as target, ExitStack() as stack:
        for number in range(2):
            stack.enter_context(RawClient(server.url)).open(request(), name(number))
        with pytest.raises(TargetError, match="All 2 sessions"):
            target.begin(request())
        stack.close()
        poll(lambda: any(seat.owner is None for seat in seats(server)._seats.values()), "there is room")
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def test_a_session_without_a_connection_makes_room_for_a_new_one(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as stays:
        stays.open(request(), name(0))
        with RawClient(server.url) as goes:
            goes.open(request(), name(1))
        poll(lambda: any(seat.owner is None for seat in seats(server)._seats.values()), "it is let go")
        with RawClient(server.url) as comes:
            assert isinstance(comes.open(request(), name(2)), wire.Opened)
            assert judged(stays.submit(DRAFT, 2)).round == 0
            assert set(seats(server)._seats) == {name(0), name(2)}
    assert model.open_caches == 2


def test_sessions_that_come_at_the_same_time_are_not_too_many(server: VerifierServer, model: WatchedToy) -> None:
    """While one opens its cache the others must not slip through."""
    with ExitStack() as stack:
        first = stack.enter_context(RawClient(server.url))
        model.gate.limit(0)
        first.send(lambda number: open_frame(number, name(0), request(), (0, 1)))
        model.gate.wait_until_blocked()
        others = [stack.enter_context(RawClient(server.url)) for _ in range(5)]
        for number, client in enumerate(others, 1):
            client.send(lambda frame, number=number: open_frame(frame, name(number), request(), (0, 1)))
        model.gate.open()
        answers = [client.receive() for client in others]
        assert sum(isinstance(answer, wire.Opened) for answer in answers) == 1
        assert len(model.caches) == 2


def test_a_client_that_goes_while_its_cache_is_opened_leaves_none_behind(
    server: VerifierServer, model: WatchedToy
) -> None:
    with RawClient(server.url) as first:
        model.gate.limit(0)
        first.send(lambda number: open_frame(number, name(0), request(), (0, 1)))
        model.gate.wait_until_blocked()
        with RawClient(server.url) as client:
            client.send(lambda number: open_frame(number, name(1), request(), (0, 1)))
        model.gate.open()
        assert isinstance(first.receive(), wire.Opened)
        with RawClient(server.url) as client:
            assert isinstance(client.open(request(), name(2)), wire.Opened)
    assert model.open_caches == seats(server).taken <= 2


def test_goodbye_gives_the_memory_back(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        assert isinstance(client.ask(wire.Bye), wire.Finished)
        assert model.open_caches == 0
        assert refusal(client.submit(DRAFT, 2)).code == "out_of_step"
        assert isinstance(client.open(request()), wire.Opened)


def test_goodbye_of_a_connection_that_was_replaced_changes_nothing(server: VerifierServer) -> None:
    with RawClient(server.url) as old, RawClient(server.url) as new:
        old.open(request())
        expected = said(old.submit(DRAFT, 2))
        new.open(request())
        assert refusal(old.submit(DRAFT, 2)).code == "out_of_step"
        old.ask(wire.Bye)
        assert said(new.submit(DRAFT, 2)) == expected


def test_a_session_in_use_that_was_given_up_is_opened_again(server: VerifierServer, folder: Path) -> None:
    """A client that is silent for long loses its session, and does not notice."""
    expected = bits(rounds(here(toys()[0]), drafter_for(*toys())))
    with connected(server.url, folder) as target:
        seats(server).idle_s = -1.0  # whatever is not in use this moment
        with RawClient(server.url) as other:
            again = drafter_for(*toys())
            draft = again.draft
            again.draft = lambda *args: (other.open(request()), draft(*args))[1]  # type: ignore[method-assign]
            assert bits(rounds(target, again)) == expected
        assert target.connections == 1


# ---- idleness, by a clock of the test's own ----


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def with_seats(work: Callable[[Seats, Clock, WatchedToy], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, model = Clock(), WatchedToy()
        passes = Passes(clock)
        async with passes.running():
            seats = Seats(model, passes, 64, 2, 10.0, clock)
            await work(seats, clock, model)
            await seats.close_all()
        assert model.open_caches == 0

    asyncio.run(run())


def test_what_nobody_uses_for_long_is_given_up() -> None:
    async def work(seats: Seats, clock: Clock, model: WatchedToy) -> None:
        first = await seats.take(name(0), object())
        await seats.open(first, request())
        clock.now = 6.0
        second = await seats.take(name(1), object())
        await seats.open(second, request())
        clock.now = 10.5
        await seats.expire()
        assert set(seats._seats) == {name(1)}
        assert model.open_caches == 1
        with pytest.raises(OutOfStepError, match="given up"):
            await seats.verify(first, DRAFT, b"", 2)
        await seats.verify(second, DRAFT, b"", 2)
        clock.now = 20.0
        await seats.expire()
        assert set(seats._seats) == {name(1)}, "it was used at 10.5"

    with_seats(work)


def test_the_one_longest_without_a_connection_makes_room() -> None:
    async def work(seats: Seats, clock: Clock, model: WatchedToy) -> None:
        owners = [object(), object()]
        for number in range(2):
            await seats.open(await seats.take(name(number), owners[number]), request())
        with pytest.raises(BusyError):
            await seats.take(name(2), object())
        for clock.now, number in ((1.0, 1), (2.0, 0)):
            seats.let_go(owners[number])
        await seats.take(name(2), object())
        assert set(seats._seats) == {name(0), name(2)}

    with_seats(work)


def test_a_verifier_gives_memory_back_although_nobody_comes(servers: Servers, model: WatchedToy) -> None:
    server = servers.start(model, Serving(context_tokens=64, idle_s=0.01))
    with RawClient(server.url) as client:
        client.open(request())
    poll(lambda: model.open_caches == 0, "the session is given up")


# ---- sizes and rates ----


def test_a_prompt_longer_than_the_context_is_refused(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        refused = refusal(client.open(request([0] * 64)))
        assert (refused.code, refused.final) == ("context", False)
        assert isinstance(client.open(request([0] * 63)), wire.Opened)
        assert refusal(client.submit(DRAFT, 63)).code == "context"
        assert judged(client.submit(Draft.empty(0), 63)).status == "plain"
    with connected(server.url, folder) as target, pytest.raises(SpeculatoVizError, match="64 tokens and a session"):
        target.begin(request([0] * 64))


def test_a_draft_that_is_too_large_or_a_tree_is_refused(server: VerifierServer) -> None:
    tree = Draft.chain(0, [1, 2], (), "test")
    tree.parents[:] = -1
    with RawClient(server.url) as client:
        client.open(request())
        refused = refusal(client.submit(Draft.chain(0, [1] * 5, (), "test"), 2))
        assert (refused.code, refused.final) == ("bad_request", False)
        assert "5 tokens and 4 are allowed" in refused.message
        assert "tree" in refusal(client.submit(tree, 2)).message
        assert judged(client.submit(Draft.chain(0, [1] * 4, (), "test"), 2)).round == 0


def test_a_frame_that_is_too_large_closes_the_connection(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        client.send_raw(bytes(3_000))
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with connected(server.url, folder) as target:
        with pytest.raises(TargetError, match="closed the connection"):
            target.tokenizer.encode("a" * 3_000, special=False)
        assert target.tokenizer.encode("ab", special=False) == [0, 1], "the next question finds the way back"


def test_too_many_frames_are_refused(server: VerifierServer, folder: Path) -> None:
    with RawClient(server.url) as client:
        answers = []
        with suppress(ConnectionClosed):
            for _ in range(150):
                answers.append(client.ask(lambda number: wire.Encode(number, "a", special=False)))
        refused = refusal(answers[-1])
        assert (refused.code, refused.final) == ("busy", True)
        assert "50 frames a second" in refused.message
        assert len(answers) > 100
    assert_serves(server, folder)


# ---- floods and silence ----


def test_clients_that_flood_or_hang_leave_it_serving_others(server: VerifierServer, folder: Path) -> None:
    flood = wire.encode(wire.Encode(1, "a" * 1_000, special=False))
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy("127.0.0.1", server.port))
        for _ in range(3):
            client = stack.enter_context(RawClient(server.url))
            with suppress(ConnectionClosed):
                for _ in range(400):
                    client.send_raw(flood)
            half = RawClient(proxy.url("ws"), hello=False)
            stack.callback(lambda half=half: half.__exit__())
            mute = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            mute.sendall(b"GET /verify HTTP/1.1\r\nHost:")
        proxy.drop("up")
        assert_serves(server, folder)
        proxy.cut()


def test_who_says_nothing_is_let_go(server: VerifierServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_HELLO_S", 0.05)
    with RawClient(server.url, hello=False) as client, pytest.raises(ConnectionClosed) as closed:
        client.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "no hello came"


# ---- unknown states ----


def test_what_is_out_of_place_is_refused(server: VerifierServer) -> None:
    with RawClient(server.url) as client:
        assert refusal(client.submit(DRAFT, 2)).code == "out_of_step"
        assert refusal(client.ask(lambda number: wire.Plain(number, 3))).code == "out_of_step"
        client.open(request())
        for committed in (-1, 1, 3, 1 << 40):
            refused = refusal(client.submit(DRAFT, committed))
            assert (refused.code, refused.final) == ("out_of_step", False)
        assert judged(client.submit(DRAFT, 2)).round == 0


@pytest.mark.parametrize(
    "frame",
    [
        open_frame(1, b"short", request(), (0, 1)),
        open_frame(1, name(0), request([29]), [29]),
        open_frame(1, name(0), request([0]), []),
        submit_frame(1, Draft.chain(0, [29], (), "test"), 2),
        submit_frame(1, Draft.chain(-1, [3], (), "test"), 2),
        wire.Submit(1, 0, 2, b"\0\0\0", None, []),
        wire.Hello(1, wire.VERSION),
        "text",
        b"",
    ],
    ids=["name", "id", "empty", "drafted id", "round", "odd bytes", "hello twice", "text", "nothing"],
)
def test_what_no_client_of_ours_sends_ends_the_connection(
    server: VerifierServer, frame: wire.Frame | str | bytes, folder: Path
) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        client.send_raw(wire.encode(frame) if isinstance(frame, wire.Frame) else frame)
        assert client.refused().final
        with pytest.raises(ConnectionClosed):
            client.receive()
    assert_serves(server, folder)


def test_an_origin_is_refused(server: VerifierServer) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        RawClient(server.url, Origin="https://example.org")
