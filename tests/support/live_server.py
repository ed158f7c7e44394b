"""The real server on a real socket, with toy models whose passes a test can block, and clients for it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.server import address
from speculatoviz.server.app import create_app
from speculatoviz.server.certificate import Certificate
from speculatoviz.server.limits import ConnectionLimits, RunLimits
from speculatoviz.server.model_host import SessionLoader
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local

CONTEXT_TOKENS = 512
RUN_LIMITS = RunLimits(idle_s=3600.0, cancel_s=0.0)  # measuring while idle would take passes that a test counts on
PATIENCE_S = 120.0  # how long a test waits for what must come; only a failing test waits that long

Event = dict[str, Any]


def poll(true: Callable[[], bool], what: str) -> None:
    """Wait until a condition that has no event of its own is true."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"it never happened: {what}"
        pause.wait(0.01)


class Gate:
    """Blocks forward passes: all but as many as a test permits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._permits: int | None = None
        self._blocked = 0
        self.passes = 0

    def limit(self, passes: int) -> None:
        """Permit this many more passes."""
        with self._changed:
            self._permits = passes
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._permits = None
            self._changed.notify_all()

    @contextlib.contextmanager
    def opened_at_the_end(self) -> Iterator[None]:
        """A context after which no pass is blocked, even if the test fails."""
        try:
            yield
        finally:
            self.open()

    def wait_until_blocked(self) -> None:
        """Wait until a pass is blocked."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._blocked > 0 and self._permits == 0, PATIENCE_S)
        assert arrived, "no forward pass came to the gate"

    def enter(self) -> None:
        with self._changed:
            self._blocked += 1
            self._changed.notify_all()
            allowed = self._changed.wait_for(lambda: self._permits is None or self._permits > 0, 2 * PATIENCE_S)
            self._blocked -= 1
            assert allowed, "the test left the gate closed"
            self.passes += 1
            if self._permits is not None:
                self._permits -= 1


class GatedToy(ToyModel):
    """A toy model whose passes go through a gate. failing: raised by its next pass, once."""

    def __init__(self, seed: int, gate: Gate) -> None:
        super().__init__(seed, ALPHABET)
        self.description = replace(self.description, context_tokens=CONTEXT_TOKENS)
        self._gate = gate
        self.failing: Exception | None = None

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self._gate.enter()
        if self.failing is not None:
            failure, self.failing = self.failing, None
            raise failure
        return super().forward(feeds)


class Toys:
    """A gated target and a related draft model, with the loader for a server. places: for runs at the same time."""

    def __init__(self, cache_dir: Path, places: int = 1, **settings: Any) -> None:
        self.gate, self.places = Gate(), places
        self.target = GatedToy(0, self.gate)
        self.draft = ToyModel(0, ALPHABET, mix=(7, 0.5))
        chosen: dict[str, Any] = {"target": "toy:0", "draft": "toy:0~7", "max_tokens": 24}
        self.settings = Settings(_env_file=None, **chosen | {"cache_dir": str(cache_dir)} | settings)

    def load(self, report: Progress) -> Session:
        session = Session(
            self.settings, open_local(self.target, self.draft, time.perf_counter), self.draft, time.perf_counter
        )
        session.calibration.measure(
            session.encode_turn("write a test"), lambda: session.default_k(session.drafter), report
        )
        session.open_places(self.places)
        return session


class Server:
    """uvicorn in a thread, as the command line sets it up. port 0 takes a free one.

    runs, connections: limits, if a test needs others. send_buffer: bytes that the kernel keeps for each client.
    certificate: for TLS; then `get`, `post` and `client` cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        load: SessionLoader,
        port: int = 0,
        send_buffer: int | None = None,
        runs: RunLimits = RUN_LIMITS,
        connections: ConnectionLimits | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        if send_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port: int = self._socket.getsockname()[1]
        self.app = create_app(settings, load, runs)
        self.uvicorn = address.configured(self.app, connections, certificate)
        self._http = httpx.Client(trust_env=False, timeout=PATIENCE_S, verify=False)  # noqa: S501 (there is no TLS)
        self._thread = threading.Thread(target=self.uvicorn.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, **headers)

    def post(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("POST", path, **headers)

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        """A request. In the names of headers `_` is `-`; their values are bytes, each as one character."""
        named = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
        return self._http.request(method, f"http://127.0.0.1:{self.port}{path}", headers=named)

    def health(self, **headers: str) -> Event:
        answer: Event = self.get("/api/health", **headers).json()
        return answer

    def wait_until(self, status: str, **headers: str) -> Event:
        """Health, once it has this status."""
        poll(lambda: self.health(**headers)["status"] != "loading", "the loading ends")
        health = self.health(**headers)
        assert health["status"] == status, health
        return health

    @contextlib.contextmanager
    def client(self, path: str = "/ws/tokens", **headers: str) -> Iterator[Client]:
        """A client of this server. A header named Host becomes the host of the requested address."""
        name = headers.pop("Host", f"127.0.0.1:{self.port}")
        tcp = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        with connect(
            f"ws://{name}{path}",
            sock=tcp,
            proxy=None,
            additional_headers=headers,
            open_timeout=PATIENCE_S,
            close_timeout=PATIENCE_S,
            max_queue=None,  # a full queue would delay the closing handshake after frames that a test does not read
        ) as connection:
            yield Client(connection)

    @contextlib.contextmanager
    def mute_client(self, path: str = "/ws/tokens") -> Iterator[MuteClient]:
        """A client that reads nothing after the handshake; its kernel keeps little unread."""
        with socket.socket() as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            tcp.settimeout(PATIENCE_S)
            tcp.connect(("127.0.0.1", self.port))
            yield MuteClient(tcp, f"ws://127.0.0.1:{self.port}{path}")

    def refuses_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE_S).close()
        except OSError:
            return True
        return False

    def ask_to_stop(self) -> None:
        self.uvicorn.should_exit = True

    def stop(self) -> None:
        self._http.close()
        self.ask_to_stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server did not stop"


class MuteClient:
    """Sends, and reads nothing after the handshake. tcp: its connection."""

    def __init__(self, tcp: socket.socket, uri: str) -> None:
        self.tcp, self._protocol = tcp, ClientProtocol(parse_uri(uri))
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tcp.recv(1)
        self._protocol.receive_data(answer)

    def send(self, **message: Any) -> None:
        self._protocol.send_text(json.dumps(message).encode())
        self._flush()

    def ping(self, data: bytes) -> None:
        self._protocol.send_ping(data)
        self._flush()

    def read_at_last(self) -> tuple[list[Event], int, str]:
        """The events that were sent, the close code and its reason."""
        events: list[Event] = []
        while (close := self._protocol.close_rcvd) is None:
            raw = self.tcp.recv(1 << 16)
            assert raw, "the connection ended without a closing frame"
            self._protocol.receive_data(raw)
            frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
            events += [json.loads(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]
        return events, close.code, close.reason

    def _flush(self) -> None:
        self.tcp.sendall(b"".join(self._protocol.data_to_send()))


class Client:
    """Sends and receives what the page would."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def send(self, **message: Any) -> None:
        self._connection.send(json.dumps(message))

    def send_raw(self, frame: str | bytes) -> None:
        self._connection.send(frame)

    def receive(self, timeout_s: float = PATIENCE_S) -> Event:
        event: Event = json.loads(self._connection.recv(timeout_s))
        return event

    def until(self, *types: str) -> list[Event]:
        """Events up to and with the first of one of these types."""
        events = [self.receive()]
        while events[-1]["type"] not in types:
            events.append(self.receive())
        return events

    def last(self, *types: str) -> Event:
        return self.until(*types)[-1]

    def run(self, **start: Any) -> list[Event]:
        """A whole run, from its start message to its last event."""
        self.send(**({"prompt": "once upon a time", "k": 3} | start))
        return self.until("done", "error")

    def refused(self) -> Event:
        """The next event, which must be an error with words."""
        event = self.receive()
        assert event["type"] == "error", event
        assert event["message"], event
        assert event["hint"], event
        return event

    def disconnect(self) -> None:
        """Close with the closing handshake."""
        self._connection.close()

    def vanish(self) -> None:
        """Disconnect without a closing handshake."""
        tcp = self._connection.socket
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        tcp.shutdown(socket.SHUT_RDWR)
        self._connection.close_socket()

    def wait_until_closed(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._connection.recv(PATIENCE_S)
