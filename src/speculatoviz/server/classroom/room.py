"""The state of the classroom: who is there, what is bet, and what is shown. No sockets and no models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speculatoviz.errors import BadRequestError, BusyError
from speculatoviz.server.classroom.lesson import LessonRound
from speculatoviz.server.classroom.messages import BoardPlace, ClassroomView, Phase, Prepare, Visitor
from speculatoviz.server.classroom.names import different, shown_name

MOST_VISITORS = 300  # that are remembered, those who left included
_BOARD = 10
_SHOWN_PROMPT = 500  # characters of a prompt
_PATIENCE_S = 60.0  # until another one may lead, after the presenter has left
_PROBLEM = "Only the presenter does that."


@dataclass(slots=True)
class _Guest:
    """A visitor. connections: of this browser. left_s: when the last of them ended."""

    name: str
    score: int = 0
    bet: int | None = None
    gained: int | None = None
    connections: int = 0
    left_s: float = 0.0


class Room:
    """One classroom, for use in one event loop. clock: seconds. token: makes one that nobody can guess.

    Visitors and presenter are known by such tokens. What only a presenter may do raises BadRequestError for others.
    """

    def __init__(self, clock: Callable[[], float], token: Callable[[], str]) -> None:
        self._clock, self._token = clock, token
        self._guests: dict[str, _Guest] = {}
        self._presenter: str | None = None
        self._presenting = 0  # connections of the presenter
        self._presenter_left_s = 0.0
        self._count = 0
        self.phase: Phase = "closed"
        self._asked: Prepare | None = None
        self._drafter = ""
        self._rounds: tuple[LessonRound, ...] = ()
        self._at = self._played = self._always = 0

    def present(self, token: str | None) -> str:
        """Open the room and lead it, or go on leading it with its token. Returns the token.

        Raises BusyError while another one leads, and BadRequestError for the token of a room that is over.
        """
        if token is not None:
            if self._presenter is None or token != self._presenter:
                raise _over()
            self._presenting += 1
            return self._presenter
        gone = not self._presenting and self._clock() - self._presenter_left_s >= _PATIENCE_S
        if self._presenter is not None and not gone:
            raise BusyError(
                "Someone leads the classroom already.",
                f"Join it as a visitor, or lead it {_PATIENCE_S:g} seconds after the presenter has left.",
            )
        self._guests.clear()
        self._reset()
        self._presenter, self._presenting, self.phase = self._token(), 1, "waiting"
        return self._presenter

    def join(self, name: str, token: str | None) -> str:
        """Let a new visitor in, or one with a token in again. Returns the token.

        Raises BusyError if no more can come in, and BadRequestError for the token of a room that is over.
        """
        if token is not None:
            if token not in self._guests:
                raise _over()
            self._guests[token].connections += 1
            return token
        if self.phase == "closed":
            raise BusyError("No classroom is open.", "Wait until the presenter opens it.")
        self._make_room()
        self._count += 1
        own, names = self._token(), {guest.name for guest in self._guests.values()}
        self._guests[own] = _Guest(different(shown_name(name), names, self._count), connections=1)
        return own

    def knows(self, token: str | None) -> bool:
        """Whether the token is that of a visitor or of the presenter."""
        return token is not None and (token == self._presenter or token in self._guests)

    def leave(self, token: str) -> None:
        """A connection with this token has ended. The visitor is remembered, with bet and score."""
        if token == self._presenter:
            self._presenting -= 1
            self._presenter_left_s = self._clock()
        elif (guest := self._guests.get(token)) is not None:
            guest.connections -= 1
            guest.left_s = self._clock()

    def check_leads(self, token: str | None) -> None:
        """Raises BadRequestError for everybody but the presenter."""
        if token is None or token != self._presenter:
            raise BadRequestError(_PROBLEM, "Open the classroom as its presenter.")

    def begin(self, asked: Prepare) -> None:
        """A run is being decoded. Raises BadRequestError while another one is."""
        if self.phase == "preparing":
            raise BadRequestError("A run is being decoded already.", "Wait for its end.")
        self._asked, self._drafter, self._rounds, self._at, self.phase = asked, "", (), 0, "preparing"
        self._clear_bets()

    def show(self, rounds: Sequence[LessonRound], drafter: str) -> None:
        """The run has ended: bets on its first round are open. No rounds: it failed, or nothing was drafted."""
        self._rounds, self._drafter = tuple(rounds), drafter
        self.phase = "betting" if rounds else "waiting"

    def bet(self, token: str | None, round: int, accepted: int) -> None:
        """Take a visitor's bet. Raises BadRequestError for a round that is not open."""
        guest = None if token is None else self._guests.get(token)
        if guest is None:
            raise BadRequestError("Only visitors bet.", "Join the classroom first.")
        if self.phase != "betting" or round != self._at + 1:
            raise BadRequestError("This round is not open.", "Bet on the next one.")
        if accepted > len(self._round.tokens):
            raise BadRequestError(f"The draft has {len(self._round.tokens)} tokens.", "Bet on at most as many.")
        guest.bet = accepted

    def reveal(self) -> None:
        """Show the decisions and score the bets. Raises BadRequestError unless bets are open."""
        if self.phase != "betting":
            raise BadRequestError("There is no open round.", "Begin one first.")
        self.phase = "revealed"
        for guest in self._guests.values():
            if guest.bet is not None:
                guest.gained = self._round.points(guest.bet)
                guest.score += guest.gained
        self._played += self._round.tested
        self._always += self._round.points(len(self._round.tokens))

    def next(self) -> None:
        """Open the next round, or end. Raises BadRequestError before a reveal."""
        if self.phase != "revealed":
            raise BadRequestError("The round is not over.", "Show its decisions first.")
        self._clear_bets()
        if self._at + 1 < len(self._rounds):
            self._at, self.phase = self._at + 1, "betting"
        else:
            self.phase = "ended"

    def close(self) -> None:
        """End the classroom. Every visitor and score is forgotten."""
        self._guests.clear()
        self._presenter, self._presenting = None, 0
        self._reset()

    def common(self) -> ClassroomView:
        """What everybody may see."""
        shown = self.phase in {"betting", "revealed"}
        round, revealed = self._round if shown else None, self.phase == "revealed"
        tokens = () if round is None else round.tokens if revealed else round.hidden()
        ranked = sorted(self._guests.values(), key=lambda guest: -guest.score)  # stable: earlier visitors first
        return ClassroomView(
            phase=self.phase,
            leads=False,
            presenter_here=self._presenting > 0,
            prompt="" if self._asked is None else self._asked.prompt[:_SHOWN_PROMPT],
            temperature=0.0 if self._asked is None else self._asked.temperature,
            drafter=self._drafter,
            round=self._at + 1 if shown else 0,
            rounds=len(self._rounds),
            before="" if round is None else round.before,
            tokens=list(tokens),
            accepted=round.accepted if round is not None and revealed else None,
            replacement=round.replacement if round is not None and revealed else None,
            bets=sum(guest.bet is not None for guest in self._guests.values()),
            votes=self._votes(round) if round is not None and revealed else None,
            visitors=sum(guest.connections > 0 for guest in self._guests.values()),
            board=[BoardPlace(name=guest.name, score=guest.score) for guest in ranked[:_BOARD] if guest.score > 0],
            played=self._played,
            always=self._always,
            you=None,
        )

    def view(self, token: str | None, common: ClassroomView | None = None) -> ClassroomView:
        """What the connection with this token may see. common: as `common` returned it since the last change."""
        own = {"leads": token is not None and token == self._presenter, "you": self._visitor(token)}
        return (common or self.common()).model_copy(update=own)

    def _reset(self) -> None:
        self.phase, self._asked, self._drafter, self._rounds = "closed", None, "", ()
        self._at = self._played = self._always = 0

    @property
    def _round(self) -> LessonRound:
        return self._rounds[self._at]

    def _clear_bets(self) -> None:
        for guest in self._guests.values():
            guest.bet = guest.gained = None

    def _votes(self, round: LessonRound) -> list[int]:
        bets = [guest.bet for guest in self._guests.values()]
        return [bets.count(count) for count in range(len(round.tokens) + 1)]

    def _visitor(self, token: str | None) -> Visitor | None:
        guest = None if token is None else self._guests.get(token)
        if guest is None:
            return None
        rank = 1 + sum(other.score > guest.score for other in self._guests.values())
        return Visitor(name=guest.name, score=guest.score, rank=rank, bet=guest.bet, gained=guest.gained)

    def _make_room(self) -> None:
        """Forget the visitor who left first if there are too many. Raises BusyError if all of them are here."""
        if len(self._guests) < MOST_VISITORS:
            return
        gone = [(guest.left_s, token) for token, guest in self._guests.items() if guest.connections <= 0]
        if not gone:
            raise BusyError(f"The classroom is full: {MOST_VISITORS} visitors are here.", "Try again later.")
        del self._guests[min(gone)[1]]


def _over() -> BadRequestError:
    return BadRequestError("The classroom that this page took part in is over.", "Take part in the next one.")
