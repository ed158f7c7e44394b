"""What one client may use of a server: time, sockets, memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

# For the models, the store of runs, the page's files and what Python itself opens.
_OWN_DESCRIPTORS = 64
_FEWEST_SOCKETS = 16


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of every connection, whatever it asks for. Applied by `protocols`.

    sockets: connections at the same time. At the limit a new connection replaces the one that has been silent longest.
    request_s: seconds until a new connection has sent the head of a request, and until a WebSocket is accepted.
    unread_s: seconds that an answer waits for a client that reads nothing of it.
    close_s: seconds for a closing handshake, and for what was sent before it, until the connection is cut.
    message_bytes: size of a WebSocket message. A longer one closes the socket with code 1009.
    stop_s: seconds that a stopping server waits for its clients.
    """

    sockets: int = 256
    request_s: float = 10.0
    unread_s: float = 30.0
    close_s: float = 5.0
    message_bytes: int = 1 << 18
    stop_s: int = 2

    def within(self, descriptors: int) -> Self:
        """These limits for a process that may open this many files; -1 is no limit."""
        if descriptors < 0:
            return self
        return replace(self, sockets=min(self.sockets, max(_FEWEST_SOCKETS, descriptors - _OWN_DESCRIPTORS)))


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of the sockets and requests that runs are started with, and of the thread that computes them.

    unread_bytes: events that may wait for one client. A client that leaves more unread is disconnected.
    silent_s: seconds without a message and without a run until a socket is closed.
    close_s: seconds for sending the closing frame of a socket.
    idle_s: seconds without a run until the server measures pass times.
    cancel_s: seconds that the runs of a stopping server have until they are cancelled; None: as in the settings.
    stop_s: seconds that a stopping server waits for the work of the models' thread.
    waiting: runs that wait for the models, at which a further run is refused: a request of the API with status 429.
    body_bytes: size of a request's body. A longer one is refused with status 413.
    body_s: seconds until the body of a request has arrived; then it is refused with status 408.
    """

    unread_bytes: int = 16 << 20
    silent_s: float = 1800.0
    close_s: float = 5.0
    idle_s: float = 3.0
    cancel_s: float | None = None
    stop_s: float = 10.0
    waiting: int = 64
    body_bytes: int = 2 << 20
    body_s: float = 30.0
