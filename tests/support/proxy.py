"""A TCP proxy that is a bad network: late, slow, stalled, cut in the middle of a frame, half-open, refusing.

`up` is from client to server, `down` from server to client. The proxy runs in a thread of its own; every method may
be called from any other thread, and what it says has happened when it returns. Bytes count as forwarded when they
leave the proxy; what it still holds because of a delay or a stall does not.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from support.proxy_ends import reset
from support.proxy_flows import Direction, Flow, Link, Order

PATIENCE_S = 120.0  # how long a test waits for what must come; only a failing test waits that long

T = TypeVar("T")


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
        self.links: list[Link] = []
        self._orders: list[Order] = []
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

        async def cut(flow: Flow) -> None:
            self.withdraw(order)
            await flow.flush()
            flow.link.cut()
            happened.set()

        order = Order(lambda: [(direction, n_bytes, cut)])
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
            reset(client)
            self.count(refused=1)
            return
        link = Link(self, client)
        self.links.append(link)
        for direction in self._dropped:
            link.flows[direction].dropped = True
        for order in self._orders:
            link.obey(order)
        self.count(connections=1, live=1)

    def forget(self, link: Link) -> None:
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

    def place(self, order: Order) -> None:
        """For live connections and those to come."""
        self._orders.append(order)
        for link in self.links:
            link.obey(order)

    def withdraw(self, order: Order) -> None:
        if order in self._orders:
            self._orders.remove(order)
        for link in self.links:
            for flow in link.flows.values():
                flow.marks = [mark for mark in flow.marks if mark.order is not order]
