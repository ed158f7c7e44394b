"""First come, first served, whatever order runs come, end and give up in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.server.run_queue import Line


class Crowd:
    """Runs that join a line, and the simplest model of what should become of them."""

    def __init__(self) -> None:
        self.line = Line()
        self.told: list[list[int]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.order: list[int] = []  # who holds the models, then who waits
        self.expected_told: list[list[int]] = []

    def join(self) -> None:
        name = len(self._tasks)
        self.told.append([])
        self.expected_told.append([])
        self._tasks.append(asyncio.create_task(self.line.join(self.told[name].append)))
        self.order.append(name)

    def leave(self) -> None:
        if self.order:
            self.line.leave()
            self.order.pop(0)

    def give_up(self, which: int) -> None:
        waiting = self.order[1:]
        if waiting:
            name = waiting[which % len(waiting)]
            self._tasks[name].cancel()
            self.order.remove(name)

    async def check(self) -> None:
        for _ in range(3 * len(self._tasks) + 3):
            await asyncio.sleep(0)
        for place, name in enumerate(self.order[1:], start=1):
            if self.expected_told[name][-1:] != [place]:
                self.expected_told[name].append(place)
        served = {name for name, task in enumerate(self._tasks) if task.done() and not task.cancelled()}
        gone_or_served = {name for name in range(len(self._tasks)) if name not in self.order[1:]}
        assert served <= gone_or_served
        assert not self.order or self.order[0] in served
        assert not served & set(self.order[1:])
        assert self.told == self.expected_told
        assert self.line.waiting == max(0, len(self.order) - 1)
        assert self.line.idle == (not self.order)

    async def end(self) -> None:
        while self.order:
            self.leave()
            await self.check()
        await asyncio.gather(*self._tasks, return_exceptions=True)


joins, leaves = st.just(("join", 0)), st.just(("leave", 0))
gives_up = st.tuples(st.just("give_up"), st.integers(0, 9))
steps = st.lists(st.one_of(joins, joins, leaves, gives_up), max_size=25)


@settings(deadline=None)
@given(steps)
def test_everyone_is_served_in_order_and_told_every_place_once(script: list[tuple[str, int]]) -> None:
    async def play() -> None:
        crowd = Crowd()
        for name, which in script:
            act: Callable[..., None] = getattr(crowd, name)
            act(which) if name == "give_up" else act()
            await crowd.check()
        await crowd.end()

    asyncio.run(play())


def timed(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it; a deadlock fails instead of hanging."""
    asyncio.run(asyncio.wait_for(play(), 30))


def test_several_steps_at_once_lose_nobody() -> None:
    async def play() -> None:
        line, served = Line(), list[int]()

        async def run(name: int) -> None:
            await line.join(lambda _place: None)
            served.append(name)
            await asyncio.sleep(0)
            line.leave()

        await asyncio.gather(*(run(name) for name in range(50)))
        assert served == list(range(50))
        assert line.idle

    timed(play)


def test_one_who_gives_up_at_the_moment_of_its_turn_passes_it_on() -> None:
    async def play() -> None:
        line = Line()
        await line.join(lambda _place: None)
        next_one = asyncio.create_task(line.join(lambda _place: None))
        last = asyncio.create_task(line.join(lambda _place: None))
        await asyncio.sleep(0)
        line.leave()
        next_one.cancel()  # before it could take its turn
        await last
        assert next_one.cancelled()
        line.leave()
        assert line.idle

    timed(play)


def test_one_who_joins_again_at_once_goes_to_the_end() -> None:
    async def play() -> None:
        line, served = Line(), list[str]()

        async def run(name: str) -> None:
            await line.join(lambda _place: None)
            served.append(name)
            line.leave()

        await line.join(lambda _place: None)
        waiting = asyncio.create_task(run("patient"))
        await asyncio.sleep(0)
        line.leave()
        await run("eager")  # before the one who waits could notice
        await waiting
        assert served == ["patient", "eager"]

    timed(play)


def test_a_place_that_cannot_be_told_is_given_up() -> None:
    async def play() -> None:
        line = Line()
        await line.join(lambda _place: None)

        def broken(place: int) -> None:
            raise RuntimeError(f"place {place}")

        with pytest.raises(RuntimeError, match="place 1"):
            await line.join(broken)
        assert line.waiting == 0
        line.leave()
        await line.join(lambda _place: None)

    timed(play)
