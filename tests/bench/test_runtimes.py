"""Two runtimes in one process: what each costs the other, on toys and a clock that stand for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from speculatoviz.bench.runtimes import DEPTH, compare
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.models.window import Window


class Machine:
    """A pass takes 1 ms for each row, and `change_ms` more if another runtime computed the pass before."""

    def __init__(self, change_ms: dict[str, float]) -> None:
        self.now_s, self.last, self._change_ms = 0.0, "", change_ms

    def windows(self) -> dict[str, Window]:
        return {runtime: Window(Timed(self, runtime), 1024) for runtime in ("a", "b")}

    def passes(self, runtime: str, rows: int) -> None:
        self.now_s += (rows + self._change_ms[runtime] * (self.last not in {runtime, ""})) / 1000
        self.last = runtime


class Timed(ToyModel):
    def __init__(self, machine: Machine, runtime: str) -> None:
        super().__init__(0, ALPHABET)
        self._machine, self._runtime = machine, runtime

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self._machine.passes(self._runtime, len(feeds[0].tokens))
        return super().forward(feeds)


@pytest.mark.parametrize("change_ms", [{"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 0.0}, {"a": 1.0, "b": 4.0}])
def test_the_cost_of_a_change_of_runtimes_is_measured(change_ms: dict[str, float]) -> None:
    machine = Machine(change_ms)
    found: dict[str, Any] = compare(machine.windows(), machine.windows(), 2, lambda: machine.now_s)

    assert set(found) == {f"{role} on {runtime}" for role in ("draft", "target") for runtime in ("a", "b")}
    for runtime, more_ms in change_ms.items():
        assert found[f"draft on {runtime}"]["mixed"] == pytest.approx((DEPTH + more_ms) / DEPTH)
        assert found[f"target on {runtime}"]["mixed"] == pytest.approx((DEPTH + 1 + more_ms) / (DEPTH + 1))
        assert found[f"target on {runtime}"]["ms"] == pytest.approx(DEPTH + 1)
