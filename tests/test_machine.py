"""The machine in words."""

from __future__ import annotations

from speculatoviz.machine import on_threads


def test_one_thread_is_no_plural() -> None:
    assert [on_threads(count) for count in (1, 2)] == ["CPU, 1 thread", "CPU, 2 threads"]
