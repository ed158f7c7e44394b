"""The limit on sessions, which session is closed for a new one, and that every cache is freed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from speculatoviz.core.types import Draft
from speculatoviz.errors import BusyError, TargetError
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.server.verifier.batching import PassBatcher
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.server.verifier.sessions import OutOfStepError, Sessions
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame
from support.live_server import poll
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, refusal, request, toys, verdict_fields
from support.verifier_models import WatchedToy
from support.verifier_servers import Servers

DRAFT = Draft.chain(0, [3, 4], (), "test")
SMALL = VerifierOptions(
    context_tokens=64, sessions=2, limits=ClientLimits(draft_tokens=4, frame_bytes=2_000, frames_per_s=50.0)
)


@pytest.fixture
def model() -> Iterator[WatchedToy]:
    model = WatchedToy()
    yield model
    model.gate.open()


@pytest.fixture
def server(servers: Servers, model: WatchedToy) -> VerifierServer:
    return servers.start(model, SMALL)


def sessions(server: VerifierServer) -> Sessions:
    found = server.app.state.sessions
    assert isinstance(found, Sessions)
    return found


def name(number: int) -> bytes:
    return bytes([number]) * 16


# ---- sessions ----


def test_a_session_beyond_the_limit_is_refused(server: VerifierServer) -> None:
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
        poll(lambda: any(session.owner is None for session in sessions(server)._sessions.values()), "there is room")
        assert bits(rounds(target, drafter_for(*toys()))) == bits(rounds(here(toys()[0]), drafter_for(*toys())))


def test_a_session_without_a_connection_makes_room_for_a_new_one(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as stays:
        stays.open(request(), name(0))
        with RawClient(server.url) as goes:
            goes.open(request(), name(1))
        poll(
            lambda: any(session.owner is None for session in sessions(server)._sessions.values()),
            "it has no connection",
        )
        with RawClient(server.url) as comes:
            assert isinstance(comes.open(request(), name(2)), wire.Opened)
            assert judged(stays.submit(DRAFT, 2)).round == 0
            assert set(sessions(server)._sessions) == {name(0), name(2)}
    assert model.open_caches == 2


def test_sessions_that_open_at_the_same_time_keep_the_limit(server: VerifierServer, model: WatchedToy) -> None:
    """While one session opens its cache, the others must be counted."""
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


def is_accepted(server: VerifierServer, session: bytes) -> bool:
    with RawClient(server.url) as client:
        return isinstance(client.open(request(), session), wire.Opened)


def test_a_client_that_leaves_while_its_cache_opens_leaves_no_cache(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as first:
        model.gate.limit(0)
        first.send(lambda number: open_frame(number, name(0), request(), (0, 1)))
        model.gate.wait_until_blocked()
        with RawClient(server.url) as client:
            client.send(lambda number: open_frame(number, name(1), request(), (0, 1)))
        model.gate.open()
        assert isinstance(first.receive(), wire.Opened)
        # the server may accept a new client before it notices that the other one is gone
        poll(lambda: is_accepted(server, name(2)), "there is room")
    assert model.open_caches == sessions(server).count <= 2


def test_goodbye_frees_the_cache(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        assert isinstance(client.ask(wire.Bye), wire.Finished)
        assert model.open_caches == 0
        assert refusal(client.submit(DRAFT, 2)).code == "out_of_step"
        assert isinstance(client.open(request()), wire.Opened)


def test_goodbye_of_a_connection_that_was_replaced_changes_nothing(server: VerifierServer) -> None:
    with RawClient(server.url) as old, RawClient(server.url) as new:
        old.open(request())
        expected = verdict_fields(old.submit(DRAFT, 2))
        new.open(request())
        assert refusal(old.submit(DRAFT, 2)).code == "out_of_step"
        old.ask(wire.Bye)
        assert verdict_fields(new.submit(DRAFT, 2)) == expected


def test_an_expired_session_is_opened_again(server: VerifierServer, folder: Path) -> None:
    """The client of a session that expired opens it again, and its run is unchanged."""
    expected = bits(rounds(here(toys()[0]), drafter_for(*toys())))
    with connected(server.url, folder) as target:
        sessions(server).idle_s = -1.0  # every session that answers no request at this moment
        with RawClient(server.url) as other:
            again = drafter_for(*toys())
            draft = again.draft
            again.draft = lambda *args: (other.open(request()), draft(*args))[1]  # type: ignore[method-assign]
            assert bits(rounds(target, again)) == expected
        assert target.connections == 1


# ---- idle sessions, with a clock that the test sets ----


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def with_sessions(work: Callable[[Sessions, Clock, WatchedToy], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, model = Clock(), WatchedToy()
        batcher = PassBatcher(clock)
        async with batcher.running():
            sessions = Sessions(model, batcher, 64, 2, 10.0, clock)
            await work(sessions, clock, model)
            await sessions.close_all()
        assert model.open_caches == 0

    asyncio.run(run())


def test_a_session_that_is_not_used_is_closed() -> None:
    async def work(sessions: Sessions, clock: Clock, model: WatchedToy) -> None:
        first = await sessions.acquire(name(0), object())
        await sessions.begin(first, request())
        clock.now = 6.0
        second = await sessions.acquire(name(1), object())
        await sessions.begin(second, request())
        clock.now = 10.5
        await sessions.expire()
        assert set(sessions._sessions) == {name(1)}
        assert model.open_caches == 1
        with pytest.raises(OutOfStepError, match="was closed"):
            await sessions.verify(first, DRAFT, b"", 2)
        await sessions.verify(second, DRAFT, b"", 2)
        clock.now = 20.0
        await sessions.expire()
        assert set(sessions._sessions) == {name(1)}, "it was used at 10.5"

    with_sessions(work)


def test_the_session_longest_without_a_connection_is_closed_for_a_new_one() -> None:
    async def work(sessions: Sessions, clock: Clock, model: WatchedToy) -> None:
        owners = [object(), object()]
        for number in range(2):
            await sessions.begin(await sessions.acquire(name(number), owners[number]), request())
        with pytest.raises(BusyError):
            await sessions.acquire(name(2), object())
        for clock.now, number in ((1.0, 1), (2.0, 0)):
            sessions.release(owners[number])
        await sessions.acquire(name(2), object())
        assert set(sessions._sessions) == {name(0), name(2)}

    with_sessions(work)


def test_idle_sessions_are_closed_although_no_client_connects(servers: Servers, model: WatchedToy) -> None:
    server = servers.start(model, VerifierOptions(context_tokens=64, idle_s=0.01))
    with RawClient(server.url) as client:
        client.open(request())
    poll(lambda: model.open_caches == 0, "the session is closed")


def test_a_run_drafts_no_deeper_than_the_verifier_allows(servers: Servers, tmp_path: Path) -> None:
    target, draft = toys()
    server = servers.start(target, VerifierOptions(context_tokens=64, limits=ClientLimits(draft_tokens=2)))
    with connected(server.url, tmp_path) as remote:
        drafted = [round.drafted for round in rounds(remote, drafter_for(target, draft), tokens=12, depth=5)]

    assert max(drafted) == 2
