"""A stream delivers what a thread computes to the event loop: in order, and a failure last."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from speculatoviz.server.bridge import Stream


def play(scene: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(asyncio.wait_for(scene(executor), 30))


def test_items_come_in_order_and_then_the_stream_ends() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        stream = Stream(executor, lambda: iter(range(500)))
        assert [item async for item in stream] == list(range(500))
        await stream.finished

    play(scene)


def test_falsy_items_are_items() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        assert [item async for item in Stream(executor, lambda: iter([0, "", False]))] == [0, "", False]

    play(scene)


def test_an_item_is_delivered_as_soon_as_it_exists() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        taken = threading.Event()

        def items() -> Iterator[str]:
            yield "first"
            assert taken.wait(30)
            yield "second"

        seen = []
        async for item in Stream(executor, items):
            seen.append(item)
            taken.set()
        assert seen == ["first", "second"]

    play(scene)


@pytest.mark.parametrize("failure", [RuntimeError("no room"), StopAsyncIteration(), KeyError("x")], ids=repr)
def test_a_failure_comes_after_the_items_before_it(failure: Exception) -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        def items() -> Iterator[int]:
            yield 1
            yield 2
            raise failure

        seen: list[int] = []

        async def take() -> None:
            async for item in Stream(executor, items):
                seen.append(item)

        with pytest.raises((type(failure), RuntimeError)):
            await take()
        assert seen == [1, 2]

    play(scene)


def test_a_failure_before_the_first_item_is_raised() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        def items() -> Iterator[int]:
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            [item async for item in Stream(executor, items)]

    play(scene)


@pytest.mark.parametrize("fails", [False, True])
def test_the_executor_is_free_once_all_items_are_taken(fails: bool) -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        def items() -> Iterator[int]:
            yield 1
            if fails:
                raise ValueError("odd")

        freed = []
        for _ in range(100):
            stream = Stream(executor, items)
            stream.finished.add_done_callback(lambda _: freed.append(True))
            with contextlib.suppress(ValueError):
                assert [item async for item in stream] == [1]
            assert stream.finished.done()
        assert len(freed) == 100

    play(scene)


@pytest.mark.parametrize("fails", [False, True])
def test_computing_finishes_if_no_item_is_taken(fails: bool) -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        def items() -> Iterator[int]:
            yield from range(100)
            if fails:
                raise RuntimeError("no room")

        await Stream(executor, items).finished
        assert await asyncio.get_running_loop().run_in_executor(executor, lambda: True)

    play(scene)


def test_the_event_loop_is_free_while_the_thread_computes() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        answered = threading.Event()

        def items() -> Iterator[int]:
            assert answered.wait(30)  # would never be set if the loop were blocked
            yield 1

        stream = Stream(executor, items)
        asyncio.get_running_loop().call_soon(answered.set)
        assert [item async for item in stream] == [1]

    play(scene)


def test_the_iterator_is_made_in_the_thread_too() -> None:
    async def scene(executor: ThreadPoolExecutor) -> None:
        def items() -> Iterator[int]:
            return iter([threading.get_ident()])

        assert [ident async for ident in Stream(executor, items)] != [threading.get_ident()]

    play(scene)
