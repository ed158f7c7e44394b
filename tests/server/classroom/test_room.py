"""The classroom without sockets and models: who may do what, what is shown when, and how bets are scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from speculatoviz.errors import BadRequestError, BusyError, SpeculatoVizError
from speculatoviz.server.classroom.lesson import LessonRound
from speculatoviz.server.classroom.messages import ClassToken, Prepare
from speculatoviz.server.classroom.names import MOST_LETTERS, different, shown_name
from speculatoviz.server.classroom.room import MOST_VISITORS, Room

ASKED = Prepare(type="prepare", prompt="once")


def drafted(accepted: int, length: int) -> LessonRound:
    """A round of `length` drafted tokens, of which the target accepts the first ones."""
    statuses = ["accepted"] * accepted + ["rejected"] * (accepted < length)
    statuses += ["discarded"] * (length - len(statuses))
    tokens = [
        ClassToken.model_validate(
            {
                "token": f"t{at}",
                "draft_prob": 0.5,
                "status": s,
                "target_prob": 0.4,
                "acceptance_prob": 0.8,
                "uniform": 0.1,
            }
        )
        for at, s in enumerate(statuses)
    ]
    return LessonRound("before", tuple(tokens), accepted, "x")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Room:
    numbers = itertools.count()
    return Room(clock, lambda: f"token{next(numbers)}")


def opened(room: Room, *rounds: LessonRound) -> str:
    """An open room with rounds to bet on; the presenter's token."""
    presenter = room.present(None)
    room.begin(ASKED)
    room.show(rounds or (drafted(1, 3),), "model")
    return presenter


def refused(call: Callable[[], object]) -> SpeculatoVizError:
    with pytest.raises((BadRequestError, BusyError)) as caught:
        call()
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_bet_scores_every_decision_that_it_calls_right(length: int) -> None:
    """Against the definition: the target decides on each token up to the first rejection, and no further."""
    for accepted, bet in itertools.product(range(length + 1), repeat=2):
        decisions = [True] * accepted + [False] * (accepted < length)
        called = [at < bet for at in range(length)]
        right = sum(a == b for a, b in zip(decisions, called[: len(decisions)], strict=True) if b or a == b)
        # A bet that stops before a token says nothing of what comes after it.
        said = called[: bet + 1]
        expected = sum(a == b for a, b in zip(decisions, said, strict=False))
        assert drafted(accepted, length).points(bet) == expected <= right
        assert expected <= drafted(accepted, length).tested == len(decisions)


def test_decisions_are_shown_only_after_the_reveal(room: Room) -> None:
    presenter = opened(room)
    visitor = room.join("Ana", None)
    for token in (presenter, visitor, None):
        view = room.view(token)
        assert [t.token for t in view.tokens] == ["t0", "t1", "t2"]
        assert {t.status for t in view.tokens} == {t.target_prob for t in view.tokens} == {None}
        assert {t.acceptance_prob for t in view.tokens} == {t.uniform for t in view.tokens} == {None}
        assert (view.accepted, view.replacement, view.votes) == (None, None, None)
    room.reveal()
    view = room.view(visitor)
    assert [t.status for t in view.tokens] == ["accepted", "rejected", "discarded"]
    assert (view.accepted, view.replacement) == (1, "x")


def test_bets_are_scored_once_and_a_later_one_replaces_an_earlier_one(room: Room) -> None:
    opened(room, drafted(1, 3), drafted(3, 3))
    ana, ben = room.join("Ana", None), room.join("Ben", None)
    room.bet(ana, 1, 3)
    room.bet(ana, 1, 1)
    room.bet(ben, 1, 3)
    room.reveal()
    view = room.view(ana)
    assert view.votes == [0, 1, 0, 1]
    assert view.you is not None
    assert (view.you.score, view.you.gained, view.you.rank, view.played, view.always) == (2, 2, 1, 2, 1)
    assert refused(lambda: room.bet(ben, 1, 1)).message == "This round is not open."
    assert refused(room.reveal).message == "There is no open round."
    room.next()
    assert (room.view(ana).you or view.you).bet is None
    refused(lambda: room.bet(ana, 1, 0))
    room.reveal()
    room.next()
    after = room.view(ana)
    assert (after.phase, after.played, after.always) == ("ended", 5, 4)
    assert [(p.name, p.score) for p in after.board] == [("Ana", 2), ("Ben", 1)]
    refused(room.next)


def test_only_the_presenter_leads_and_only_visitors_bet(room: Room) -> None:
    refused(lambda: room.join("Ana", None))  # no classroom is open
    presenter = opened(room)
    visitor = room.join("Ana", None)
    room.check_leads(presenter)
    for token in (visitor, None, "", "guess"):
        refused(lambda token=token: room.check_leads(token))
    for token in (presenter, None, "guess"):
        refused(lambda token=token: room.bet(token, 1, 0))
    assert "at most as many" in refused(lambda: room.bet(visitor, 1, 4)).hint
    assert (room.view(presenter).leads, room.view(visitor).leads, room.view(None).leads) == (True, False, False)


def test_a_presenter_comes_back_and_is_replaced_only_after_a_while(room: Room, clock: Clock) -> None:
    presenter = opened(room)
    visitor = room.join("Ana", None)
    refused(lambda: room.present(None))
    room.leave(presenter)
    clock.now_s = 59.0
    refused(lambda: room.present("guess"))
    assert room.present(presenter) == presenter
    assert room.view(visitor).phase == "betting"
    room.leave(presenter)
    clock.now_s = 59.0 + 60.0
    other = room.present(None)
    assert other != presenter
    assert (room.view(other).phase, room.view(other).visitors, room.knows(visitor)) == ("waiting", 0, False)
    room.leave(visitor)  # of the room before: it changes nothing
    refused(lambda: room.check_leads(presenter))


def test_visitors_who_vanish_keep_their_score_and_late_ones_begin_at_zero(room: Room) -> None:
    opened(room, drafted(1, 3), drafted(0, 3))
    ana = room.join("Ana", None)
    room.bet(ana, 1, 1)
    room.leave(ana)
    room.reveal()
    room.next()
    late = room.join("Late", None)
    room.bet(late, 2, 0)
    assert room.view(late).visitors == 1
    room.reveal()
    assert room.join("Other name", ana) == ana
    assert "over" in refused(lambda: room.join("Ana", "a token of yesterday")).message
    view = room.view(ana)
    assert view.you is not None
    assert (view.you.name, view.you.score, view.visitors) == ("Ana", 2, 2)


def test_the_room_is_bounded_and_forgets_who_left_first(room: Room, clock: Clock) -> None:
    opened(room)
    tokens = [room.join("x" * 300, None) for _ in range(MOST_VISITORS)]
    assert "full" in refused(lambda: room.join("one more", None)).message
    for at in (7, 3):
        clock.now_s += 1.0
        room.leave(tokens[at])
    room.join("one more", None)
    assert not room.knows(tokens[7])
    assert room.knows(tokens[3])
    assert len(room.view(None).board) == 0
    assert len(room.view(tokens[3]).model_dump_json()) < 4096


def test_closing_forgets_everything(room: Room) -> None:
    presenter = opened(room)
    visitor = room.join("Ana", None)
    room.bet(visitor, 1, 1)
    room.reveal()
    room.close()
    view = room.view(visitor)
    assert (view.phase, view.you, view.board, view.played, view.prompt) == ("closed", None, [], 0, "")
    refused(lambda: room.check_leads(presenter))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("  Ana\n\tMaria  ", "Ana Maria"),
        ("<script>alert(1)</script>", "<script>alert(1)</script"),
        ("\u202eevil\u2066\u200b", "evil"),
        ("a" + "\u0301" * 50, "\u00e1\u0301\u0301"),
        ("\u0000\u0007\ud800", ""),
        ("名前" * 30, "名前" * 12),
        ("\u3000\u00a0", ""),
    ],
)
def test_names_are_short_and_on_one_line(given: str, name: str) -> None:
    assert shown_name(given) == name
    assert len(shown_name(given)) <= MOST_LETTERS


def test_names_differ() -> None:
    assert different("", set(), 7) == "Visitor 7"
    assert different("Ana", {"Ana", "Ana (2)"}, 1) == "Ana (3)"
    long = "x" * MOST_LETTERS
    assert different(long, {long}, 1) != long
    assert len(different(long, {long}, 1)) <= MOST_LETTERS
