"""A TCP proxy that is a bad network: late, slow, stalled, cut in the middle of a frame, half-open, refusing.

`up` is from client to server, `down` from server to client. The proxy runs in a thread of its own; every method may
be called from any other thread, and what it says has happened when it returns. Bytes count as forwarded when they
leave the proxy; what it still holds because of a delay or a stall does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import socket
import struct
import sys
import termios
import threading
from bisect import insort
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar

import numpy as np

PATIENCE_S = 120.0  # how long a test waits for what must come; only a failing test waits that long
READ_BYTES = 65_536  # the most that one read takes
SLICE_S = 0.01  # a throttled read takes what the link carries in this time, so that bytes trickle

T = TypeVar("T")
Direction = Literal["up", "down"]
Kind = Literal["cut", "stall", "swallow"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True)
class Counts:
    """What a proxy has done so far."""

    connections: int = 0  # accepted, and not refused
    live: int = 0
    refused: int = 0
    cut: int = 0  # connections that cut, cut_after or a fault has reset
    up: int = 0  # bytes forwarded
    down: int = 0
    held_up: int = 0  # bytes of live connections that were read and not yet passed on
    held_down: int = 0
    swallowed_up: int = 0  # bytes dropped
    swallowed_down: int = 0


class Proxy:
    """Forwards connections from a free port of 127.0.0.1 to a target, as badly as a test asks for.

    delay_s: how much later everything arrives, one way; a round trip takes twice that. It costs latency alone, not
    throughput. bytes_per_s: what each direction of each connection carries. Both may be changed at any time, for what
    is read from then on. buffer_bytes: about what the kernel keeps per socket of the proxy; by default it may be
    megabytes, which the sender of a stalled network has to fill before it notices.

    The kernel shakes hands with a client by itself: connecting takes no delay, and succeeds during a stall.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        delay_s: float = 0.0,
        bytes_per_s: float | None = None,
        buffer_bytes: int | None = None,
    ) -> None:
        self.delay_s, self.bytes_per_s, self.buffer_bytes = delay_s, bytes_per_s, buffer_bytes
        self.retarget(host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._limit_buffers(self._listener)  # what it accepts inherits them
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._counts = Counts()
        # What follows belongs to the loop's thread.
        self.stalled = False
        self._refusing = False
        self._dropped: set[Direction] = set()
        self.links: list[_Link] = []
        self._orders: list[_Order] = []
        self.failures: list[BaseException] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE_S), "the proxy did not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, scheme: str) -> str:
        """The proxy's address, without a path."""
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def counts(self) -> Counts:
        with self._changed:
            return self._counts

    def wait_until(self, true: Callable[[Counts], bool], what: str) -> Counts:
        """The counts, once they are so."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self._counts), PATIENCE_S), f"never {what}: {self._counts}"
            return self._counts

    def stall(self) -> None:
        """Accept nothing, read nothing, pass nothing on, until `resume`; what is held is kept."""
        self.do(lambda: self._stall(True))

    def resume(self) -> None:
        """What is due by now arrives at once."""
        self.do(lambda: self._stall(False))

    def refuse(self) -> None:
        """Reset every new connection at once, until `accept`. Live ones go on."""
        self._refusing = True

    def accept(self) -> None:
        self._refusing = False

    def retarget(self, host: str, port: int) -> None:
        """Where new connections go from now on. A client is reset where the target cannot be reached."""
        self._target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]

    def cut(self) -> int:
        """Reset all live connections on both sides, and lose what is held; how many there were."""

        async def cut() -> int:
            links = list(self.links)
            for link in links:
                link.cut()
            for link in links:
                await link.gone.wait()
            return len(links)

        return self._wait(cut())

    def cut_after(self, n_bytes: int, direction: Direction) -> threading.Event:
        """Reset one connection, once, when exactly this many bytes more were forwarded to the receiver's kernel.

        A connection counts from this call, or from its own start if that is later; the first to get there is reset.
        The event returned is set when that has happened.
        """
        happened = threading.Event()

        async def cut(flow: _Flow) -> None:
            self.withdraw(order)
            await flow.flush()
            flow.link.cut()
            happened.set()

        order = _Order(lambda: [(direction, n_bytes, cut)])
        self.do(lambda: self.place(order))
        return happened

    def drop(self, direction: Direction, *, lasting: bool = False) -> int:
        """Swallow everything in this direction, closing included, while live connections stay up; how many there are.

        Such a connection never recovers. lasting: new connections are like that too, until `heal`.
        """

        def drop() -> int:
            if lasting:
                self._dropped.add(direction)
            for link in self.links:
                link.flows[direction].dropped = True
            return len(self.links)

        return self.do(drop)

    def heal(self) -> None:
        """New connections are whole again."""
        self.do(self._dropped.clear)

    def close(self) -> None:
        """Cut everything, and end. Raises what went wrong inside."""
        if self._thread.is_alive():
            self.do(self._stop.set)
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive(), "the proxy did not stop"
        if self.failures:
            raise BaseExceptionGroup("in the proxy", self.failures)

    def do(self, function: Callable[[], T]) -> T:
        """Call it in the loop's thread."""

        async def call() -> T:
            return function()

        return self._wait(call())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)
        except RuntimeError:
            coroutine.close()  # the loop is closed: it never began
            raise

    # In the loop's thread.

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(self._note)
        self._loop.add_reader(self._listener, self._admit)
        self._started.set()
        await self._stop.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        while self.links:
            self.links[0].abort()
            await self.links[0].gone.wait()

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context.get("exception") or RuntimeError(context["message"]))

    def count(self, **amounts: int) -> None:
        """Add to the counts."""
        with self._changed:
            sums = {name: getattr(self._counts, name) + amount for name, amount in amounts.items()}
            self._counts = replace(self._counts, **sums)
            self._changed.notify_all()

    def _stall(self, stalled: bool) -> None:
        self.stalled = stalled
        if stalled:
            self._loop.remove_reader(self._listener)
        else:
            self._loop.add_reader(self._listener, self._admit)
        for link in self.links:
            link.update()

    def _admit(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it has gone already
            return
        if self._refusing:
            _reset(client)
            self.count(refused=1)
            return
        link = _Link(self, client)
        self.links.append(link)
        for direction in self._dropped:
            link.flows[direction].dropped = True
        for order in self._orders:
            link.obey(order)
        self.count(connections=1, live=1)

    def forget(self, link: _Link) -> None:
        self.links.remove(link)
        self.count(live=-1)

    async def connect(self) -> socket.socket:
        """A connection to the target."""
        family, kind, protocol, _, where = self._target
        server = socket.socket(family, kind, protocol)
        try:
            server.setblocking(False)
            self._limit_buffers(server)
            await self._loop.sock_connect(server, where)
        except BaseException:
            server.close()
            raise
        return server

    def _limit_buffers(self, tcp: socket.socket) -> None:
        if self.buffer_bytes is not None:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer_bytes)

    def place(self, order: _Order) -> None:
        """For live connections and those to come."""
        self._orders.append(order)
        for link in self.links:
            link.obey(order)

    def withdraw(self, order: _Order) -> None:
        if order in self._orders:
            self._orders.remove(order)
        for link in self.links:
            for flow in link.flows.values():
                flow.marks = [mark for mark in flow.marks if mark.order is not order]


class Faults:
    """Random faults by a seed: stalls, cuts at some byte, and silence from some byte on with a cut behind it.

    What happens to a connection, and at which byte, follows from the seed and its number alone: connections that are
    live at the attachment come first, from where they are, then new ones as they come. Only `connections` of them have
    faults, so that who tries again gets through in the end. up_bytes, down_bytes: the last byte at which a fault can
    be. Half of them are anywhere up to there, half of them rather early. What a connection does not live to see does
    not happen.
    """

    def __init__(self, seed: int, *, connections: int = 5, up_bytes: int = 4_000, down_bytes: int = 64_000) -> None:
        self.seed, self.connections = seed, connections
        self._most: dict[Direction, int] = {"up": up_bytes, "down": down_bytes}
        self.happened: list[tuple[int, Fault]] = []  # connection and fault, in order; changed by the proxy's thread

    def plan(self, connection: int) -> tuple[Fault, ...]:
        """Up to two stalls, and one end."""
        if connection >= self.connections:
            return ()
        rng = np.random.default_rng((self.seed, connection))
        kinds: list[Kind] = ["stall"] * int(rng.integers(3))
        kinds.append("cut" if rng.random() < 0.7 else "swallow")
        return tuple(self._draw(kind, rng) for kind in kinds)

    def _draw(self, kind: Kind, rng: np.random.Generator) -> Fault:
        direction = DIRECTIONS[int(rng.integers(2))]
        most = self._most[direction]
        at = rng.uniform(1, most) if rng.random() < 0.5 else math.exp(rng.uniform(0, math.log(most)))
        return Fault(kind, direction, int(at), 0.0 if kind == "cut" else float(rng.uniform(0.02, 0.2)))

    @contextlib.contextmanager
    def attached(self, proxy: Proxy) -> Iterator[Self]:
        """Faults happen to this proxy's connections inside; those that began end by themselves."""
        numbers = iter(range(self.connections))

        def marks() -> list[tuple[Direction, int, _Act]]:
            number = next(numbers, self.connections)
            return [(fault.direction, fault.at_bytes, act(number, fault)) for fault in self.plan(number)]

        def act(number: int, fault: Fault) -> _Act:
            async def happen(flow: _Flow) -> None:
                self.happened.append((number, fault))
                await fault.happen(flow)

            return happen

        order = _Order(marks)
        proxy.do(lambda: proxy.place(order))
        try:
            yield self
        finally:
            proxy.do(lambda: proxy.withdraw(order))


@dataclass(frozen=True)
class Fault:
    """kind: a cut; a stall of both directions for so long; all behind this byte swallowed, and a cut so much later."""

    kind: Kind
    direction: Direction
    at_bytes: int
    seconds: float

    async def happen(self, flow: _Flow) -> None:
        match self.kind:
            case "cut":
                await flow.flush()
                flow.link.cut()
            case "stall":
                flow.link.stall(self.seconds)
            case "swallow":
                flow.dropped = True
                asyncio.get_running_loop().call_later(self.seconds, flow.link.cut)


# The inside, all of it in the loop's thread. A link is one client's connection and its connection to the target; each
# of its two flows takes from one end and gives to the other.

_Act = Callable[["_Flow"], Awaitable[None]]
_COUNTED: dict[Direction, dict[str, str]] = {
    "up": {"forwarded": "up", "held": "held_up", "swallowed": "swallowed_up"},
    "down": {"forwarded": "down", "held": "held_down", "swallowed": "swallowed_down"},
}


@dataclass(eq=False)
class _Order:
    """marks: asked once for each connection; what to do in which direction after how many more bytes."""

    marks: Callable[[], list[tuple[Direction, int, _Act]]]


@dataclass(frozen=True)
class _Mark:
    at: int  # bytes forwarded by the flow
    act: _Act
    order: _Order


class _Link:
    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.gone = asyncio.Event()  # both sockets are closed
        self.moving = asyncio.Event()  # not stalled
        self._stalls = 0
        self._aborted = False
        self.ends = client_end, server_end = _End(self), _End(self)
        self.flows: dict[Direction, _Flow] = {
            "up": _Flow(self, "up", client_end, server_end),
            "down": _Flow(self, "down", server_end, client_end),
        }
        client_end.flow, server_end.flow = self.flows["up"], self.flows["down"]
        self._connecting = asyncio.create_task(proxy.connect())
        self._tasks: list[asyncio.Task[None]] = []
        self._opening = asyncio.create_task(self._open(client))
        self._opening.add_done_callback(self._look_at)

    async def _open(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await self._connecting
        except (OSError, asyncio.CancelledError):
            _reset(client)
            for end in self.ends:
                end.lost = True
            self.lose()
            return
        client_end, server_end = self.ends
        await loop.connect_accepted_socket(lambda: client_end, client)
        await loop.connect_accepted_socket(lambda: server_end, server)
        if self._aborted:
            self.abort()
            return
        self.update()
        for flow in self.flows.values():
            self.begin(flow.carry())

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """It ends with the link."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._look_at)

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.proxy.failures.append(failure)
            self.abort()

    def obey(self, order: _Order) -> None:
        for direction, n_bytes, act in order.marks():
            flow = self.flows[direction]
            insort(flow.marks, _Mark(flow.forwarded + n_bytes, act, order), key=lambda mark: mark.at)
            flow.wake()

    def stall(self, seconds: float) -> None:
        self._shift(1)
        asyncio.get_running_loop().call_later(seconds, self._shift, -1)

    def _shift(self, stalls: int) -> None:
        self._stalls += stalls
        self.update()

    def update(self) -> None:
        """Something about who may move has changed."""
        if self.proxy.stalled or self._stalls:
            self.moving.clear()
        else:
            self.moving.set()
        for flow in self.flows.values():
            flow.update()

    def cut(self) -> None:
        if not self._aborted and not self.gone.is_set():
            self.proxy.count(cut=1)
            self.abort()

    def abort(self) -> None:
        """Reset both sides."""
        self._aborted = True
        self._connecting.cancel()
        for task in self._tasks:
            task.cancel()
        for end in self.ends:
            end.abort()

    def close_if_ended(self) -> None:
        if all(flow.ended for flow in self.flows.values()):
            for end in self.ends:
                end.close()

    def lose(self) -> None:
        """One end more is lost."""
        if all(end.lost for end in self.ends):
            for task in self._tasks:
                task.cancel()
            for flow in self.flows.values():
                flow.forget()
            self.gone.set()
            self.proxy.forget(self)


class _End(asyncio.BufferedProtocol):
    """One socket."""

    flow: _Flow  # that takes what comes in here

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._buffer = bytearray(READ_BYTES)
        self.transport: asyncio.Transport | None = None
        self.ended = False  # nothing more comes in
        self.lost = False
        self.writable = asyncio.Event()  # all that was written is the kernel's, or lost
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(0)
        transport.pause_reading()
        self.transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return memoryview(self._buffer)[: self.flow.readable]

    def buffer_updated(self, n_bytes: int) -> None:
        self.flow.take(bytes(self._buffer[:n_bytes]))

    def eof_received(self) -> bool:
        self.ended = True
        self.flow.take("end")
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self.writable.clear()
        self._link.update()

    def resume_writing(self) -> None:
        self.writable.set()
        self._link.update()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = self.lost = True
        self.writable.set()
        if error is not None:
            self.flow.take("reset")
        self._link.lose()

    def read(self, allowed: bool) -> None:
        if self.transport is not None and not self.ended:
            if allowed:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def write(self, data: memoryview) -> None:
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def write_end(self) -> None:
        if self.transport is not None and not self.lost:
            with contextlib.suppress(OSError):  # reset meanwhile
                self.transport.write_eof()

    def unsent(self) -> int:
        """How much of what was written the other side's kernel does not have; 0 where that cannot be asked."""
        if self.transport is None or self.lost:
            return 0
        answer = bytearray(4)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
        return int.from_bytes(answer, sys.byteorder)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None and not self.lost:
            _linger_not(self.transport.get_extra_info("socket"))
            self.transport.abort()


class _Flow:
    """One direction of a link: takes, holds until it is due, and gives."""

    def __init__(self, link: _Link, direction: Direction, source: _End, sink: _End) -> None:
        self.link, self._direction, self._source, self._sink = link, direction, source, sink
        self.forwarded = self._held_bytes = 0
        self.dropped = False
        self.ended = False  # the sink was told the end
        self.marks: list[_Mark] = []
        self._held: asyncio.Queue[tuple[float, bytes | Literal["end", "reset"]]] = asyncio.Queue()
        self._busy = False  # the throttled line carries what was read last
        self._free_s = 0.0
        self.due_s = 0.0  # when the last of what was taken may go on, by the loop's clock

    @property
    def readable(self) -> int:
        """How much to read at once."""
        rate = self.link.proxy.bytes_per_s
        return READ_BYTES if rate is None else max(1, min(READ_BYTES, int(rate * SLICE_S)))

    def take(self, item: bytes | Literal["end", "reset"]) -> None:
        loop, proxy = asyncio.get_running_loop(), self.link.proxy
        self._free_s = max(self._free_s, loop.time())
        if isinstance(item, bytes) and proxy.bytes_per_s is not None:
            self._free_s += len(item) / proxy.bytes_per_s
            self._busy = True
            loop.call_at(self._free_s, self._rest)
            self.update()
        self.due_s = max(self.due_s, self._free_s + proxy.delay_s)
        self._held.put_nowait((self.due_s, item))
        if isinstance(item, bytes):
            self._count(held=len(item))

    def _count(self, held: int, **amounts: int) -> None:
        self._held_bytes += held
        amounts["held"] = held
        self.link.proxy.count(**{_COUNTED[self._direction][what]: amount for what, amount in amounts.items()})

    def forget(self) -> None:
        """What it holds is lost."""
        self._count(held=-self._held_bytes)

    def wake(self) -> None:
        """There may be a mark where it stands."""
        self._held.put_nowait((self.due_s, b""))

    def _rest(self) -> None:
        self._busy = False
        self.update()

    def update(self) -> None:
        """Whoever does not read makes the sender wait, in the end."""
        self._source.read(self.link.moving.is_set() and self._sink.writable.is_set() and not self._busy)

    async def carry(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, item = await self._held.get()
            while (left_s := due_s - loop.time()) > 0:
                await asyncio.sleep(left_s)
            await self._clear()
            if isinstance(item, bytes):
                await self._give(memoryview(item))
            elif self.dropped:
                pass
            elif item == "end":
                self._sink.write_end()
                self.ended = True
                self.link.close_if_ended()
            else:
                self.link.abort()
                return

    async def _clear(self) -> None:
        """Wait until giving is possible."""
        while not (self.link.moving.is_set() and self._sink.writable.is_set()):
            await self.link.moving.wait()
            await self._sink.writable.wait()

    async def _give(self, data: memoryview) -> None:
        while True:
            await self._clear()
            if self.marks and self.marks[0].at <= self.forwarded:
                await self.marks.pop(0).act(self)
                await asyncio.sleep(0)  # a link that was cut ends here
                continue
            if not data:
                return
            if self.dropped or self._sink.lost:
                self._count(held=-len(data), swallowed=len(data))
                return
            now = data[: self.marks[0].at - self.forwarded] if self.marks else data
            data = data[len(now) :]
            self._sink.write(now)
            self.forwarded += len(now)
            self._count(held=-len(now), forwarded=len(now))

    async def flush(self) -> None:
        """Wait until the receiver's kernel has what was forwarded."""
        await self._sink.writable.wait()
        while self._sink.unsent():
            await asyncio.sleep(0.001)


def _linger_not(tcp: socket.socket) -> None:
    """Closing it is a reset."""
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reset(tcp: socket.socket) -> None:
    _linger_not(tcp)
    tcp.close()
