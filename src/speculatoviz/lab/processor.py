"""Processor time: of the process that decodes, of those that wait, and of other programs. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

QUIET = 0.05  # of the used processor time, for other programs


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor milliseconds. decoding: of the process that decodes, and of this one, which asks it to.

    waiting: of the processes that wait for their turn. together: of all programs on this machine.
    """

    decoding: float
    waiting: float
    together: float

    def since(self, before: Usage) -> Usage:
        """What was used since then."""
        return Usage(self.decoding - before.decoding, self.waiting - before.waiting, self.together - before.together)

    @property
    def foreign_share(self) -> float:
        """The share of the used time that other programs used; 0 if nothing was used."""
        if self.together <= 0.0:
            return 0.0
        return max(0.0, 1.0 - (self.decoding + self.waiting) / self.together)


def usage_so_far(decoding: int | None = None, waiting: Iterable[int | None] = ()) -> Usage | None:
    """What was used until now; None if the system does not give it.

    decoding: the id of the process that decodes, None for this one. waiting: the ids of processes that wait, None for
    those that there are not; this one and the one that decodes never wait.
    """
    together = _machine_ms()
    if together is None:
        return None
    busy = {decoding, os.getpid()}
    return Usage(sum(map(_process_ms, busy)), sum(map(_process_ms, set(waiting) - busy)), together)


def _process_ms(pid: int | None) -> float:
    """Of one process, from its start on; 0 if it has not begun or has ended."""
    text = None if pid is None else _read(f"/proc/{pid}/stat")
    return 0.0 if text is None else _ticks(text.rpartition(")")[2].split()[11:13])


def _machine_ms() -> float | None:
    """Of all programs, and what other machines took from this one (steal)."""
    text = _read("/proc/stat")
    if text is None:
        return None
    user, nice, system, _idle, _waiting_for_disk, *others = text.split("\n", 1)[0].split()[1:9]
    return _ticks([user, nice, system, *others])


def _ticks(counts: Sequence[str]) -> float:
    return sum(map(int, counts)) * 1000.0 / os.sysconf("SC_CLK_TCK")


def _read(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
