"""The machine that times are measured on."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def usable_cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def on_threads(threads: int) -> str:
    """Where a model computes that uses so many threads of the processor."""
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


def processor() -> str:
    """The processor's name; a general one if the system does not give it."""
    with suppress(OSError):  # other systems have no such file, and some containers hide it
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def available_bytes() -> int | None:
    """The memory that new processes can take without swapping; None if the system does not report it."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def describe() -> str:
    """Processor, cores and system in one line."""
    return f"{processor()}, {usable_cores()} cores, {platform.system()}"
