"""Requests and answers of HTTP/1.1 in the bytes that pass on one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import h11

_HEAD_BYTES = 1 << 18
_MOST_BODY = 8 << 20  # of a request; a longer one is not read
_MOST_WAITING = 64  # requests without an answer, on one connection


@dataclass(frozen=True, slots=True)
class Asked:
    """A whole request. target: path and query. at_s: when its last byte passed."""

    method: str
    target: str
    body: bytes
    at_s: float


class Answered(Protocol):
    """Takes the answer to one request as it passes."""

    def head(self, status: int, headers: dict[str, str], at_s: float) -> None:
        """The status, and the headers with names in lower case."""

    def data(self, data: bytes, at_s: float) -> None:
        """A part of the body, and when it passed."""

    def end(self, at_s: float, *, whole: bool) -> None:
        """The end of the answer; whole: False if the connection ended before."""


class ExchangeTap:
    """Reads one connection. begin: called with each request; returns what takes its answer, None to skip it.

    clock: seconds. What is no HTTP/1.1, such as a connection that switches to another protocol, is not read on.
    """

    def __init__(self, begin: Callable[[Asked], Answered | None], clock: Callable[[], float]) -> None:
        self._begin, self._clock = begin, clock
        self._asking = _requests()
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._waiting: deque[tuple[str, Answered | None]] = deque()
        self._answering: h11.Connection | None = None
        self._reading = True

    def sent(self, data: bytes) -> None:
        self._guarded(lambda: self._read_requests(data))

    def received(self, data: bytes) -> None:
        self._guarded(lambda: self._read_answers(data))

    def closed(self) -> None:
        """Answers that have not ended end here."""
        self._reading = False
        for _, answered in self._waiting:
            if answered is not None:
                answered.end(self._clock(), whole=False)
        self._waiting.clear()

    def _guarded(self, read: Callable[[], None]) -> None:
        if not self._reading:
            return
        try:
            read()
        except h11.ProtocolError:
            self.closed()

    # --- from the client -----------------------------------------------------------------------------

    def _read_requests(self, data: bytes) -> None:
        if not data:
            return  # it may still read the answer
        self._asking.receive_data(data)
        while self._reading:
            match self._asking.next_event():
                case h11.Request() as head:
                    self._head, self._body = head, bytearray()
                case h11.Data(data=part) if len(self._body) <= _MOST_BODY:
                    self._body += part
                case h11.EndOfMessage():
                    self._asked()
                case h11.NEED_DATA | h11.PAUSED:
                    return
                case _:
                    continue

    def _asked(self) -> None:
        assert self._head is not None
        method, target = self._head.method.decode("latin-1"), self._head.target.decode("latin-1")
        whole = len(self._body) <= _MOST_BODY
        asked = Asked(method, target, bytes(self._body), self._clock()) if whole else None
        self._waiting.append((method, None if asked is None else self._begin(asked)))
        self._body = bytearray()
        rest, _ = self._asking.trailing_data
        self._asking = _requests()
        if rest:
            self._asking.receive_data(rest)
        if len(self._waiting) > _MOST_WAITING:
            self.closed()

    # --- from the server -----------------------------------------------------------------------------

    def _read_answers(self, data: bytes) -> None:
        if self._answering is None:
            if not data:
                return
            if not self._waiting:  # an answer before the end of its request
                self.closed()
                return
            self._answering = _answers(self._waiting[0][0])
        self._answering.receive_data(data)
        while self._next_of_answer():
            continue

    def _next_of_answer(self) -> bool:
        """Whether there was a further event of an answer."""
        answering = self._answering
        if answering is None or not self._reading:
            return False
        answered = self._waiting[0][1]
        match answering.next_event():
            case h11.Response() as head:
                if answered is not None:
                    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                    answered.head(head.status_code, headers, self._clock())
            case h11.Data(data=part):
                if answered is not None:
                    answered.data(bytes(part), self._clock())
            case h11.EndOfMessage():
                self._answered()
            case h11.NEED_DATA:
                return False
            case h11.PAUSED | h11.ConnectionClosed():
                self.closed()
        return True

    def _answered(self) -> None:
        assert self._answering is not None
        rest, _ = self._answering.trailing_data
        self._answering = None
        _, answered = self._waiting.popleft()
        if answered is not None:
            answered.end(self._clock(), whole=True)
        if rest:
            self._read_answers(bytes(rest))


def _requests() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)


def _answers(method: str) -> h11.Connection:
    """A reader of the answer to a request of this method. Which bytes belong to it depends on nothing else of it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "watched")]))
    connection.send(h11.EndOfMessage())
    return connection
