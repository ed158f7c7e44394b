"""How many sessions there are at a time, who has to make room, and that no cache is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from speculatoviz.core.types import Draft
from speculatoviz.errors import TargetError
from speculatoviz.server.verifier.app import Serving
from speculatoviz.server.verifier.connection import Bounds
from speculatoviz.server.verifier.passes import Passes
from speculatoviz.server.verifier.sessions import BusyError, OutOfStepError, Seats
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame
from support.live_server import poll
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


def is_let_in(server: VerifierServer, session: bytes) -> bool:
    with RawClient(server.url) as client:
        return isinstance(client.open(request(), session), wire.Opened)


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
        # the server may hear of a new client before it hears that the other is gone
        poll(lambda: is_let_in(server, name(2)), "there is room")
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


def test_a_run_drafts_no_deeper_than_the_verifier_allows(servers: Servers, tmp_path: Path) -> None:
    target, draft = toys()
    server = servers.start(target, Serving(context_tokens=64, bounds=Bounds(draft_tokens=2)))
    with connected(server.url, tmp_path) as remote:
        drafted = [round.drafted for round in rounds(remote, drafter_for(target, draft), tokens=12, depth=5)]

    assert max(drafted) == 2
