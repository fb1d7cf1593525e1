"""How the cost of trio_ws grows: with the number of connections, with the size of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.children import ChildFailed, Cores, raise_descriptor_limit
from benchmarks.measure import Effort, Tell
from benchmarks.peers import PEERS
from benchmarks.results import Curve, Series
from benchmarks.rows import Row
from benchmarks.stages import put_on_stage

SPARE_DESCRIPTORS = 100  # for everything in a process that is no connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One curve: a row, and what of it grows."""

    row: Row
    at: Callable[[Row, int], Row]
    """Makes the row of a point of it."""
    x: str
    """What grows."""
    values: tuple[int, ...]
    quick_values: tuple[int, ...]


GROWTHS = (
    Growth(
        row=Row(
            name="growth-connections",
            title="echo of 64 B, closed loop over all connections",
            unit="µs/message",
        ),
        at=lambda row, connections: replace(row, connections=connections),
        x="connections",
        values=(10, 100, 1_000, 10_000),
        quick_values=(10, 100, 1_000),
    ),
    Growth(
        row=Row(
            name="growth-size",
            title="echo on one connection",
            unit="µs/message",
            load="exchange",
            text=False,
        ),
        at=lambda row, size: replace(row, size=size),
        x="bytes a message",
        values=tuple(2**power for power in range(4, 25, 2)),
        quick_values=tuple(2**power for power in range(4, 25, 4)),
    ),
)


def measure_growth(
    growth: Growth, effort: Effort, cores: Cores, tell: Tell, *, quick: bool
) -> Curve:
    """Measure trio_ws at every point of a curve."""
    curve = Curve(growth.row.name, growth.row.title, growth.x)
    tell(f"{growth.row.title}, by {growth.x}")
    for value in growth.quick_values if quick else growth.values:
        row = growth.at(growth.row, value)
        if row.connections + SPARE_DESCRIPTORS > raise_descriptor_limit():
            curve.note = f"stopped before {value:,}: RLIMIT_NOFILE allows no more descriptors"
            break
        try:
            curve.points[value] = _measure_point(row, effort, cores)
        except ChildFailed as exc:
            curve.note = f"failed at {value:,}: {str(exc).strip().splitlines()[-1]}"
            break
    return curve


def _measure_point(row: Row, effort: Effort, cores: Cores) -> Series:
    with put_on_stage(row, PEERS[0], cores) as performance:
        performance.prepare()
        performance.calibrate(effort.seconds)
        return Series([performance.sample() for _ in range(effort.rounds)])
