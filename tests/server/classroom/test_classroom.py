"""The classroom on a running server: a real run, bets, visitors who vanish, and a hundred who are silent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from speculatoviz.config import Settings
from speculatoviz.server.classroom import connection
from support.live_server import RUN_LIMITS, Client, Event, Server, Toys, poll

PATH = "/ws/classroom"
KEY = "sv-a-key-of-the-tests"
PREPARE = {"type": "prepare", "prompt": "once upon a time", "k": 3, "max_tokens": 12, "seed": 1}


class Member:
    """A connection to the classroom. view: the last one that came. token: of its welcome."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.view: Event = client.receive()
        self.token = ""
        assert self.view["type"] == "classroom"

    def send(self, kind: str, **fields: Any) -> None:
        self.client.send(type=kind, **fields)

    def welcomed(self, kind: str, **fields: Any) -> None:
        self.send(kind, **fields)
        self.token = self._next("welcome")["token"]

    def refused(self) -> Event:
        answer = self._next("refused")
        assert answer["message"]
        assert answer["hint"]
        return answer

    def until(self, true: Callable[[Event], bool]) -> Event:
        """The first view that fulfils a condition, the last one that came included."""
        while not true(self.view):
            self._take(self.client.receive())
        return self.view

    def _next(self, kind: str) -> Event:
        event = self.client.receive()
        while event["type"] != kind:
            self._take(event)
            event = self.client.receive()
        return event

    def _take(self, event: Event) -> None:
        assert event["type"] == "classroom", event
        self.view = event


@contextmanager
def member(server: Server, **headers: str) -> Iterator[Member]:
    with server.client(PATH, **headers) as client:
        yield Member(client)


@pytest.fixture
def presenter(server: Server) -> Iterator[Member]:
    with member(server) as found:
        found.welcomed("present")
        yield found


def betting(one: Member) -> Event:
    return one.until(lambda view: view["phase"] == "betting")


def test_a_class_bets_on_the_decisions_of_a_real_run(server: Server, presenter: Member) -> None:
    with server.client() as client:
        start = {name: value for name, value in PREPARE.items() if name != "type"}
        events = client.run(**start, policy="fixed", temperature=0.0)
    truth = {
        number: [
            e["status"]
            for e in events
            if e["type"] == "verify_result" and e["round"] == number and e["node"] is not None
        ]
        for number in range(events[-1]["total_rounds"])
    }
    played = [statuses for statuses in truth.values() if statuses]
    with member(server) as ana, member(server) as ben:
        ana.welcomed("join", name="Ana")
        ben.welcomed("join", name="Ben")
        presenter.client.send(**PREPARE)
        score, always = 0, 0
        for number, statuses in enumerate(played, 1):
            view = ana.until(lambda view, number=number: view["phase"] == "betting" and view["round"] == number)
            assert view["rounds"] == len(played)
            assert {token["status"] for token in view["tokens"]} == {None}
            accepted = statuses.count("accepted")
            ana.send("bet", round=number, accepted=accepted)
            ben.send("bet", round=number, accepted=len(statuses))
            presenter.until(lambda view: view["bets"] == 2)
            presenter.send("reveal")
            shown = ana.until(lambda view: view["phase"] == "revealed")
            assert [token["status"] for token in shown["tokens"]] == statuses
            assert (shown["accepted"], sum(shown["votes"])) == (accepted, 2)
            score += len([s for s in statuses if s != "discarded"])
            always += accepted
            presenter.send("next")
        over = ana.until(lambda view: view["phase"] == "ended")
        assert (over["you"]["score"], over["played"], over["always"]) == (score, score, always)
        assert over["you"]["rank"] == 1
        assert ben.until(lambda view: view["phase"] == "ended")["you"]["score"] == always
        text = "".join(e["text"] for e in events if e["type"] == "verify_result")
        assert text.startswith(shown["before"])
        assert shown["before"]


def test_at_a_temperature_the_probabilities_are_those_of_the_rule(server: Server, presenter: Member) -> None:
    presenter.client.send(**PREPARE | {"temperature": 1.0})
    betting(presenter)
    presenter.send("reveal")
    tokens = presenter.until(lambda view: view["phase"] == "revealed")["tokens"]
    tested = [token for token in tokens if token["status"] != "discarded"]
    for token in tested:
        expected = min(1.0, token["target_prob"] / token["draft_prob"])
        assert token["acceptance_prob"] == pytest.approx(expected, abs=1e-6)
        assert (token["uniform"] < expected) == (token["status"] == "accepted")


def test_a_hundred_silent_visitors_and_those_who_vanish_disturb_nobody(server: Server, presenter: Member) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(server.client(PATH)) for _ in range(100)]
        for number, client in enumerate(silent):
            client.send(type="join", name=f"silent {number}", token=None)
        presenter.until(lambda view: view["visitors"] == 100)
        presenter.client.send(**PREPARE)
        betting(presenter)
        for client in silent[:40]:
            client.vanish()
        presenter.until(lambda view: view["visitors"] == 60)
        with member(server) as late:
            late.welcomed("join", name="late")
            betting(late)
            late.send("bet", round=1, accepted=1)
            presenter.until(lambda view: view["bets"] == 1)
            presenter.send("reveal")
            assert late.until(lambda view: view["phase"] == "revealed")["you"]["bet"] == 1
    presenter.until(lambda view: view["visitors"] == 0)
    assert server.health()["status"] == "ready"


def test_a_visitor_who_does_not_read_is_cut(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Their kernel and ours keep little, so that unread views pile up in the server."""
    monkeypatch.setattr(connection, "_PAUSE_S", 0.0)
    server = serve(runs=replace(RUN_LIMITS, unread_bytes=20_000), send_buffer=4096)
    server.wait_until("ready")
    with member(server) as presenter, server.mute_client(PATH) as mute:
        presenter.welcomed("present")
        mute.send(type="join", name="mute", token=None)
        presenter.until(lambda view: view["visitors"] == 1)

        def change() -> bool:
            presenter.client.send(**PREPARE | {"prompt": "once " * 100, "max_tokens": 8})
            betting(presenter)
            presenter.send("reveal")
            return bool(presenter.until(lambda view: view["phase"] == "revealed")["visitors"] == 0)

        poll(change, "the mute visitor is cut")


def test_presenter_and_visitor_come_back_with_their_tokens(server: Server) -> None:
    with member(server) as presenter:
        presenter.welcomed("present")
        presenter.client.send(**PREPARE)
        betting(presenter)
        with member(server) as ana:
            ana.welcomed("join", name="Ana")
            ana.send("bet", round=1, accepted=2)
            presenter.until(lambda view: view["bets"] == 1)
            ana.client.vanish()
        presenter.until(lambda view: view["visitors"] == 0)
        presenter.client.vanish()
    with member(server) as other, member(server) as back, member(server) as again:
        other.send("present")
        assert "leads" in other.refused()["message"]
        back.welcomed("present", token=presenter.token)
        assert back.token == presenter.token
        again.welcomed("join", name="Somebody", token=ana.token)
        you = again.until(lambda view: view["you"] is not None)["you"]
        assert (you["name"], you["bet"]) == ("Ana", 2)
        other.send("reveal")
        assert "presenter" in other.refused()["message"]
        back.send("close")
        assert again.until(lambda view: view["phase"] == "closed")["you"] is None


def test_a_presenter_who_leaves_ends_the_run(server: Server, toys: Toys) -> None:
    with member(server) as watching:
        with member(server) as presenter:
            presenter.welcomed("present")
            toys.gate.limit(2)
            presenter.client.send(**PREPARE)
            toys.gate.wait_until_blocked()
            assert watching.until(lambda view: view["phase"] == "preparing")["rounds"] == 0
            presenter.client.vanish()
        toys.gate.open()
        watching.until(lambda view: view["phase"] == "waiting")
    poll(lambda: server.app.state.host.queue.idle, "the models are free")


@pytest.mark.parametrize(
    "frame",
    [
        b"\0",
        "{",
        "[]",
        '{"type": "bet"}',
        '{"type": "join", "name": "' + "x" * 401 + '"}',
        '{"type": "join", "name": "' + "x" * 20_000 + '"}',
        '{"type": "bet", "round": 1, "accepted": 99}',
        '{"type": "bet", "round": 1, "accepted": 1}',
        '{"type": "prepare", "prompt": "once"}',
        '{"type": "nothing"}',
    ],
)
def test_bad_frames_are_refused_in_words(shared_server: Server, frame: str | bytes) -> None:
    with member(shared_server) as own:
        own.client.send_raw(frame)
        own.refused()
        own.send("bet", round=1, accepted=0)
        own.refused()


def test_a_run_that_cannot_start_is_explained_to_the_presenter_alone(server: Server, presenter: Member) -> None:
    for changes in ({"prompt": "  "}, {"drafter": "nobody"}, {"prompt": "ÄÖ"}, {"k": 4, "prompt": "a" * 700}):
        presenter.client.send(**PREPARE | changes)
        presenter.refused()
        presenter.until(lambda view: view["phase"] == "waiting")
    presenter.client.send(**PREPARE)
    betting(presenter)


def test_nothing_is_stored(serve: Callable[..., Server], toys: Toys, tmp_path: Any) -> None:
    settings = toys.settings.model_copy(update={"store": str(tmp_path / "runs.db")})
    server = serve(settings=settings)
    server.wait_until("ready")
    with member(server) as presenter:
        presenter.welcomed("present")
        presenter.client.send(**PREPARE)
        betting(presenter)
    with server.client() as client:
        client.run(prompt="another")
    poll(lambda: len(server.get("/api/runs").json()["runs"]) == 1, "the other run is kept")
    assert [run["prompt"] for run in server.get("/api/runs").json()["runs"]] == ["another"]
    assert all("once upon" not in json.dumps(run) for run in server.get("/api/runs").json()["runs"])


def test_it_asks_for_the_servers_key_and_refuses_other_websites(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=Settings(_env_file=None, **toys.settings.model_dump() | {"api_key": KEY}))
    own = f"http://127.0.0.1:{server.port}"
    with member(server, Authorization=f"Bearer {KEY}", Origin=own) as found:
        assert found.view["phase"] == "closed"
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer another"}, 401),
        ({"Authorization": f"Bearer {KEY}", "Origin": "http://elsewhere.example"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused, member(server, **headers):
            pass
        assert refused.value.response.status_code == status
