"""First come, first served, in whatever order runs arrive, end and cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.server.run_queue import RunQueue


class Crowd:
    """Runs in a queue, and the simplest model of what should happen to them. most: at the same time."""

    def __init__(self, most: int = 1) -> None:
        self.queue, self.most = RunQueue(most), most
        self.reported: list[list[int]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.order: list[int] = []  # runs that hold the models, then those that wait
        self.expected_reported: list[list[int]] = []

    def join(self) -> None:
        name = len(self._tasks)
        self.reported.append([])
        self.expected_reported.append([])
        self._tasks.append(asyncio.create_task(self.queue.acquire(self.reported[name].append)))
        self.order.append(name)

    def leave(self) -> None:
        if self.order:
            self.queue.release()
            self.order.pop(0)

    def give_up(self, which: int) -> None:
        waiting = self.order[self.most :]
        if waiting:
            name = waiting[which % len(waiting)]
            self._tasks[name].cancel()
            self.order.remove(name)

    async def check(self) -> None:
        for _ in range(3 * len(self._tasks) + 3):
            await asyncio.sleep(0)
        for place, name in enumerate(self.order[self.most :], start=1):
            if self.expected_reported[name][-1:] != [place]:
                self.expected_reported[name].append(place)
        served = {name for name, task in enumerate(self._tasks) if task.done() and not task.cancelled()}
        gone_or_served = {name for name in range(len(self._tasks)) if name not in self.order[self.most :]}
        assert served <= gone_or_served
        assert set(self.order[: self.most]) <= served
        assert not served & set(self.order[self.most :])
        assert self.reported == self.expected_reported
        assert self.queue.waiting == max(0, len(self.order) - self.most)
        assert self.queue.running == min(len(self.order), self.most)
        assert self.queue.idle == (not self.order)

    async def end(self) -> None:
        while self.order:
            self.leave()
            await self.check()
        await asyncio.gather(*self._tasks, return_exceptions=True)


joins, leaves = st.just(("join", 0)), st.just(("leave", 0))
gives_up = st.tuples(st.just("give_up"), st.integers(0, 9))
steps = st.lists(st.one_of(joins, joins, leaves, gives_up), max_size=25)


@settings(deadline=None)
@given(steps, st.integers(1, 4))
def test_runs_are_served_in_order_and_receive_every_place_once(script: list[tuple[str, int]], most: int) -> None:
    async def play() -> None:
        crowd = Crowd(most)
        for name, which in script:
            act: Callable[..., None] = getattr(crowd, name)
            act(which) if name == "give_up" else act()
            await crowd.check()
        await crowd.end()

    asyncio.run(play())


def timed(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it; a deadlock fails instead of hanging."""
    asyncio.run(asyncio.wait_for(play(), 30))


def test_many_runs_at_once_are_all_served() -> None:
    async def play() -> None:
        queue, served = RunQueue(), list[int]()

        async def run(name: int) -> None:
            await queue.acquire(lambda _place: None)
            served.append(name)
            await asyncio.sleep(0)
            queue.release()

        await asyncio.gather(*(run(name) for name in range(50)))
        assert served == list(range(50))
        assert queue.idle

    timed(play)


def test_a_run_cancelled_at_the_moment_of_its_turn_passes_it_on() -> None:
    async def play() -> None:
        queue = RunQueue()
        await queue.acquire(lambda _place: None)
        next_one = asyncio.create_task(queue.acquire(lambda _place: None))
        last = asyncio.create_task(queue.acquire(lambda _place: None))
        await asyncio.sleep(0)
        queue.release()
        next_one.cancel()  # before it runs
        await last
        assert next_one.cancelled()
        queue.release()
        assert queue.idle

    timed(play)


def test_a_run_that_arrives_before_the_next_one_wakes_goes_to_the_end() -> None:
    async def play() -> None:
        queue, served = RunQueue(), list[str]()

        async def run(name: str) -> None:
            await queue.acquire(lambda _place: None)
            served.append(name)
            queue.release()

        await queue.acquire(lambda _place: None)
        waiting = asyncio.create_task(run("patient"))
        await asyncio.sleep(0)
        queue.release()
        await run("eager")  # before the waiting run wakes
        await waiting
        assert served == ["patient", "eager"]

    timed(play)


def test_a_run_whose_listener_raises_leaves_the_queue() -> None:
    async def play() -> None:
        queue = RunQueue()
        await queue.acquire(lambda _place: None)

        def broken(place: int) -> None:
            raise RuntimeError(f"place {place}")

        with pytest.raises(RuntimeError, match="place 1"):
            await queue.acquire(broken)
        assert queue.waiting == 0
        queue.release()
        await queue.acquire(lambda _place: None)

    timed(play)


def test_work_that_needs_the_models_for_itself_waits_for_all_runs_and_is_waited_for() -> None:
    async def play() -> None:
        queue, order = RunQueue(2), list[str]()

        async def run(name: str, *, alone: bool = False) -> None:
            await queue.acquire(lambda _place: None, alone=alone)
            order.append(name)

        await run("first")
        await run("second")
        measuring = asyncio.create_task(run("measuring", alone=True))
        await asyncio.sleep(0)
        third = asyncio.create_task(run("third"))
        queue.release()
        await asyncio.sleep(0)
        assert order == ["first", "second"], "one run still holds the models"
        queue.release()
        await measuring
        assert queue.running == 1
        assert not third.done(), "no run joins it"
        queue.release()
        await third
        assert order == ["first", "second", "measuring", "third"]

    timed(play)
