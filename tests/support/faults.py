"""Random faults for the connections of a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from support.proxy import Proxy
from support.proxy_flows import DIRECTIONS, Act, Direction, Flow, Order

Kind = Literal["cut", "stall", "swallow"]


class Faults:
    """Random faults by a seed: stalls, cuts at some byte, and silence from some byte on with a cut after it.

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

        def marks() -> list[tuple[Direction, int, Act]]:
            number = next(numbers, self.connections)
            return [(fault.direction, fault.at_bytes, act(number, fault)) for fault in self.plan(number)]

        def act(number: int, fault: Fault) -> Act:
            async def happen(flow: Flow) -> None:
                self.happened.append((number, fault))
                await fault.happen(flow)

            return happen

        order = Order(marks)
        proxy.do(lambda: proxy.place(order))
        try:
            yield self
        finally:
            proxy.do(lambda: proxy.withdraw(order))


@dataclass(frozen=True)
class Fault:
    """kind: a cut; a stall of both directions; or silence: all bytes after this are swallowed, and a cut follows."""

    kind: Kind
    direction: Direction
    at_bytes: int
    seconds: float

    async def happen(self, flow: Flow) -> None:
        match self.kind:
            case "cut":
                await flow.flush()
                flow.link.cut()
            case "stall":
                flow.link.stall(self.seconds)
            case "swallow":
                flow.dropped = True
                asyncio.get_running_loop().call_later(self.seconds, flow.link.cut)
