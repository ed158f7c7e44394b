"""Machines with known costs, and texts with known acceptance, for tests of the policy `auto`."""

from __future__ import annotations

from collections.abc import Mapping

from speculatoviz.policies.auto import Experience
from speculatoviz.policies.costs import Costs
from support.simulated import Rates, SimulatedDrafter, Simulation

DEEPEST = 8
PRIORS = {"model": 0.9, "suffix": 0.7}

# Measured on two-core machines: a kernel with cheap rows, one with dear rows, one that works in blocks of four rows.
CHEAP_ROWS = {n: 60.0 * ratio for n, ratio in enumerate([1, 1.27, 1.39, 1.53, 1.66, 1.79, 1.9, 2.02, 2.1], start=1)}
DEAR_ROWS = {n: 24.2 * ratio for n, ratio in enumerate([1, 1.9, 2.54, 3.11, 3.75, 4.36, 4.7, 5.06, 5.4], start=1)}
BLOCKS = {n: 75.0 * ratio for n, ratio in enumerate([1, 1.65, 2.0, 1.42, 2.0, 2.9, 2.95, 3.0, 3.9], start=1)}
MACHINES = {"cheap rows": CHEAP_ROWS, "dear rows": DEAR_ROWS, "blocks of four": BLOCKS}


def always(rate: float) -> Rates:
    return lambda _round, _position: rate


def changing(*rates: float, every: int = 300) -> Rates:
    return lambda round, _position: rates[round // every % len(rates)]


def falling(rate: float) -> Rates:
    """Deeper positions are accepted less often."""
    return lambda _round, position: rate * 0.85**position


TEXTS: Mapping[str, dict[str, SimulatedDrafter]] = {
    "easy": {"model": SimulatedDrafter(always(0.92), 9.0), "suffix": SimulatedDrafter(always(0.3), 0.1)},
    "hard": {"model": SimulatedDrafter(always(0.35), 9.0), "suffix": SimulatedDrafter(always(0.1), 0.1)},
    "repeats": {"model": SimulatedDrafter(always(0.7), 9.0), "suffix": SimulatedDrafter(always(0.85), 0.1)},
    "falling": {"model": SimulatedDrafter(falling(0.9), 9.0), "suffix": SimulatedDrafter(always(0.05), 0.1)},
    "dear draft": {"model": SimulatedDrafter(always(0.9), 30.0), "suffix": SimulatedDrafter(always(0.2), 0.1)},
    "turns hard": {"model": SimulatedDrafter(changing(0.92, 0.3), 9.0), "suffix": SimulatedDrafter(always(0.1), 0.1)},
    "turns easy": {"model": SimulatedDrafter(changing(0.3, 0.92), 9.0), "suffix": SimulatedDrafter(always(0.1), 0.1)},
    "uneven": {
        "model": SimulatedDrafter(always(0.65), 9.0, spread=0.3, stops=True),
        "suffix": SimulatedDrafter(always(0.4), 0.1, spread=0.35, text=True),
    },
}


def experience(simulation: Simulation, table: Mapping[int, float] | None = None) -> Experience:
    known = dict(simulation.verify_ms if table is None else table)
    return Experience(Costs(lambda: known, {"model": 9.0}.get), {n: PRIORS[n] for n in simulation.drafters})
