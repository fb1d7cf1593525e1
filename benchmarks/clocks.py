"""Clocks: how long something took, and how much of that the processor was at it."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timed:
    """So much was done, in so many seconds."""

    count: int
    seconds: float
    cpu: float
    """CPU seconds of the process that says so."""


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._cpu = cpu_seconds()
        self._began = time.perf_counter()

    def stop(self, count: int) -> Timed:
        """Return what was done since."""
        seconds = time.perf_counter() - self._began
        return Timed(count, seconds, cpu_seconds() - self._cpu)


def cpu_seconds() -> float:
    """Return the CPU time that this process has used, in user mode and in the kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
