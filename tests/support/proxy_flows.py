"""The inside of the proxy, all of it in the loop's thread.

A link is one client's connection and its connection to the target; each of its two flows takes from one end and gives
to the other.
"""

from __future__ import annotations

import asyncio
import socket
from bisect import insort
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from support.proxy_ends import READ_BYTES, End, Item, reset

SLICE_S = 0.01  # a throttled read takes what the link carries in this time, so that bytes trickle

Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")
Act = Callable[["Flow"], Awaitable[None]]
_COUNTED: dict[Direction, dict[str, str]] = {
    "up": {"forwarded": "up", "held": "held_up", "swallowed": "swallowed_up"},
    "down": {"forwarded": "down", "held": "held_down", "swallowed": "swallowed_down"},
}


class Owner(Protocol):
    """What a link asks of its proxy."""

    stalled: bool
    delay_s: float
    bytes_per_s: float | None
    failures: list[BaseException]

    def count(self, **amounts: int) -> None: ...

    def forget(self, link: Link) -> None: ...

    async def connect(self) -> socket.socket: ...


@dataclass(eq=False)
class Order:
    """marks: asked once for each connection; what to do in which direction after how many more bytes."""

    marks: Callable[[], list[tuple[Direction, int, Act]]]


@dataclass(frozen=True)
class _Mark:
    at: int  # bytes forwarded by the flow
    act: Act
    order: Order


class Link:
    def __init__(self, proxy: Owner, client: socket.socket) -> None:
        self.proxy = proxy
        self.gone = asyncio.Event()  # both sockets are closed
        self.moving = asyncio.Event()  # not stalled
        self._stalls = 0
        self._aborted = False
        self.ends = client_end, server_end = End(self.update, self.lose), End(self.update, self.lose)
        self.flows: dict[Direction, Flow] = {
            "up": Flow(self, "up", client_end, server_end),
            "down": Flow(self, "down", server_end, client_end),
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
            reset(client)
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

    def obey(self, order: Order) -> None:
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


class Flow:
    """One direction of a link: takes, holds until it is due, and gives."""

    def __init__(self, link: Link, direction: Direction, source: End, sink: End) -> None:
        self.link, self._direction, self._source, self._sink = link, direction, source, sink
        self.forwarded = self._held_bytes = 0
        self.dropped = False
        self.ended = False  # the sink was told the end
        self.marks: list[_Mark] = []
        self._held: asyncio.Queue[tuple[float, Item]] = asyncio.Queue()
        self._busy = False  # the throttled line carries what was read last
        self._free_s = 0.0
        self.due_s = 0.0  # when the last of what was taken may go on, by the loop's clock

    @property
    def readable(self) -> int:
        """How much to read at once."""
        rate = self.link.proxy.bytes_per_s
        return READ_BYTES if rate is None else max(1, min(READ_BYTES, int(rate * SLICE_S)))

    def take(self, item: Item) -> None:
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
